import { AgentError } from '../errors.ts';

const MAX_COMMENT = 2000;

/** @throws AgentError `usage` for a comment that no record holds */
export function checkComment(comment: string | undefined): void {
  if ([...(comment ?? '')].length <= MAX_COMMENT) return;
  throw new AgentError('usage', 'the comment is too long', { key: 'error.comment-long', params: { max: MAX_COMMENT } });
}
