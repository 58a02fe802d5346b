package task

// Which tasks may run beside each other. Two rules, and a task waits for those
// before it that one of the rules sets against it:
//
//   - A backup and an online restore both work the store hard, so there is one of
//     the two at a time. The other kinds work on destinations only: of those,
//     again, one at a time, and beside the first.
//   - Of two that use the same destination, at most one writes there, and nothing
//     is removed there while the other is at it.
//
// So a verification never keeps tonight's backup waiting, and a prune waits for
// whatever reads or extends what it might remove.

// Access says what a task does at a destination.
type Access uint8

// What a task does at a destination.
const (
	Read   Access = iota
	Write         // adds backups
	Remove        // takes backups away
)

// Use is a destination, as its String names it, and what a task does there.
type Use struct {
	Location string
	Access   Access
}

// User is what the parameters of a task implement to tell which destinations it
// uses.
type User interface{ Uses() []Use }

func usesOf(params any) []Use {
	if user, ok := params.(User); ok {
		return user.Uses()
	}
	return nil
}

// ofStore reports whether a kind of task works the store.
func (k Kind) ofStore() bool { return k == Backup || k == Restore }

// excludedBy reports whether e may not run beside any of others.
func (e *entry) excludedBy(others []*entry) bool {
	for _, other := range others {
		if e.record.Kind.ofStore() == other.record.Kind.ofStore() || collide(e.uses, other.uses) {
			return true
		}
	}
	return false
}

func collide(a, b []Use) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Location != y.Location {
				continue
			}
			removes := x.Access == Remove || y.Access == Remove
			if removes || x.Access == Write && y.Access == Write {
				return true
			}
		}
	}
	return false
}
