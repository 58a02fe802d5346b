package destination

import "strings"

// isPresence reports whether an object says only who is at work: a lease or a
// mark. It is about processes that live, which judge it by time, and whoever
// wrote it is dead once the power is gone. So a directory makes neither its bytes
// nor its name durable. After a power cut it is there as it was, missing, or
// empty: nothing is held then, or somebody unknown holds it until its TTL is over,
// as with any holder that died with its machine.
//
// Exclusive does not rest on fsync: the name is made with link(2), and others see
// that and the bytes at once. An NFS client has sent them to the server before:
// close does that. A server that restarts has the names that it answered for, and
// its clients send again what it had not made durable.
func isPresence(name string) bool {
	return strings.HasPrefix(name, leaseDir+"/") || strings.HasPrefix(name, markDir+"/")
}
