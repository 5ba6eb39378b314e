/** How calls wait for one signal. */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { listenForAbort } from '../../src/contract/index.js'
import { linkedAbort } from '../../src/runtime/waiting.js'

test('a signal has one listener, however many calls wait for it, and none after them', () => {
  const { signal } = new AbortController()
  const unlistens = Array.from({ length: 1000 }, () => listenForAbort(signal, () => undefined))
  const links = Array.from({ length: 1000 }, () => linkedAbort(signal))
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  for (const unlisten of unlistens) unlisten()
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  for (const { unlink } of links) unlink()
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('each that waits for a signal is called once, in the order they came, also one that waits twice', () => {
  const controller = new AbortController()
  const called: string[] = []
  const twice = (): void => void called.push('twice')
  listenForAbort(controller.signal, twice)
  listenForAbort(controller.signal, () => called.push('once'))
  listenForAbort(controller.signal, twice)
  controller.abort()
  expect(called).toEqual(['twice', 'once', 'twice'])
  expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
})

test('who is called off is not called, also by one that is called before it', () => {
  const controller = new AbortController()
  const called: string[] = []
  const unlisten = listenForAbort(controller.signal, () => called.push('before'))
  listenForAbort(controller.signal, () => {
    called.push('first')
    unlistenLast()
  })
  const unlistenLast = listenForAbort(controller.signal, () => called.push('last'))
  unlisten()
  controller.abort()
  expect(called).toEqual(['first'])
})

test('one that came again after all were called off is called', () => {
  const controller = new AbortController()
  listenForAbort(controller.signal, () => undefined)()
  let called = 0
  listenForAbort(controller.signal, () => (called += 1))
  controller.abort()
  expect(called).toBe(1)
})
