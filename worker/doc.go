// Package worker is a running node: its store, its tasks, and the services on
// top of them. It knows nothing of GraphQL or HTTP.
//
// Nothing outside of it may assume that there is one process: a change goes
// through Node.Propose, a backup through Node.BackupGroup.
package worker
