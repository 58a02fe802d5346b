package fault

// KindNamed returns the kind that String gives this name; a name of none is
// Other. With it a kind survives in a record or in an answer.
func KindNamed(name string) Kind {
	for i, known := range kindNames {
		if known == name {
			return Kind(i)
		}
	}
	return Other
}
