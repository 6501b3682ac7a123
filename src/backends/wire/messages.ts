/** Conversations as upstreams take them, and the plainer forms that strict templates want. */
import type { ChatMessage } from '../../engine/types.js';
import type { BackendDescriptor } from '../descriptor.js';

/** A message in the API's shape. What the API does not have is left out where the backend minds. */
export function wireMessage(message: ChatMessage, backend: BackendDescriptor): unknown {
  const { role, content, tool_calls: calls, tool_call_id: id, name } = message;
  const { reasoning_content: thought } = message;
  return {
    role,
    content: content === '' && Array.isArray(calls) ? null : content,
    ...(typeof name === 'string' ? { name } : {}),
    ...(typeof id === 'string' ? { tool_call_id: id } : {}),
    ...(Array.isArray(calls) ? { tool_calls: calls.map(wireCall) } : {}),
    ...(typeof thought === 'string' && backend.wire.takesThought
      ? { reasoning_content: thought }
      : {}),
  };
}

/** Arguments are JSON text on the wire; a template's own form may have made an object of them. */
function wireCall(call: { readonly id?: unknown; readonly function?: Record<string, unknown> }) {
  const { name, arguments: given } = call.function ?? {};
  const text = typeof given === 'string' ? given : JSON.stringify(given ?? {});
  return {
    id: typeof call.id === 'string' ? call.id : '',
    type: 'function',
    function: { name, arguments: text },
  };
}

/** Whether an error of an upstream is its template's, which may take a plainer form. */
export function isTemplateFailure(message: string): boolean {
  return /template|jinja|system message|roles must alternate|conversation roles|tool.call.id/i.test(
    message,
  );
}
