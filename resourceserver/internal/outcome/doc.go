// Package outcome reports to the authorization server how tool calls ended, for
// its audit trail (issue 5, DESIGN §4): which grant, which tool, which class of
// outcome, how long. Never arguments, results or texts.
//
// A call never waits for it. What cannot be delivered waits in memory, bounded;
// the oldest go first then, and are counted. A process that is killed loses
// what it had not sent: what it handed out stands in the trail all the same,
// because the exchange writes that itself.
package outcome
