// Each method of the published TypeScript client against the server of MANYHANDS_URL and MANYHANDS_KEY. The tests follow one
// another. Give them a server of its own: its settings and one profile of a model stay as the tests have left them.
import { deepEqual } from 'node:assert/strict';
import { after, test } from 'node:test';
import { all, end, manager, methodsNotCalled, workspace } from './harness.mjs';
import './kept.mjs';
import './workspace.mjs';
import './conversations.mjs';
import './beyond.mjs';

after(end);

test('no method of the client was left out', () => {
  for (const one of [all, manager, workspace, ...Object.values(all)]) one?.close?.();
  deepEqual(methodsNotCalled(), []);
});
