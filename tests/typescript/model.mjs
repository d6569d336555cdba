// A model that speaks OpenAI chat completions: "do: COMMAND" in the last message of the user makes one call of the
// terminal, everything else is answered with a text. It listens on an address of this machine that the server reaches.
import { createServer } from 'node:http';

const text = (content) => ({ role: 'assistant', content });
const call = (command) => ({
  role: 'assistant',
  content: null,
  tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'terminal', arguments: JSON.stringify({ command }) } }],
});

const words = ({ content }) => (typeof content === 'string' ? content : content.map((part) => part.text ?? '').join(''));

function answer({ messages, tools }) {
  const last = messages.at(-1);
  const command = last.role === 'user' && /do: (.*)/.exec(words(last))?.[1];
  return tools?.length && command ? call(command) : text('All is done.');
}

export async function startModel(address = '127.0.0.1') {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (!request.url.endsWith('/chat/completions')) return response.writeHead(404).end();
    const message = answer(JSON.parse(body));
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({
      id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'scripted',
      choices: [{ index: 0, message, finish_reason: message.tool_calls ? 'tool_calls' : 'stop' }],
      usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 },
    }));
  });
  await new Promise((resolve) => server.listen(0, address, resolve));
  const { port } = server.address();
  return { url: `http://${address}:${port}/v1`, close: () => server.close() };
}
