/** An object that does as `target` does, but for `own`. */
export function delegate(target, own) {
  return new Proxy(target, {
    get(_, key) {
      if (key in own) return own[key]
      const value = target[key]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
