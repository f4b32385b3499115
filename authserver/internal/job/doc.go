// Package job runs long work on one tenant that the admin API begins: whoever begins
// it gets an id at once and asks how far it is; any server does the work.
//
// A lease says whose turn it is; work that was killed is begun anew by the next
// server, so it must be such that this does no harm. What the work is, is others'.
package job
