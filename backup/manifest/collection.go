package manifest

// Collection is one collection of a group as it stands in a manifest.
type Collection struct {
	ID        uint64 `json:"id"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Records counts the collection's records in this backup: all live ones in
	// a full, the changed (put or deleted) ones in an incremental.
	Records int64 `json:"records"`
}
