package destination

import "context"

// openGCS returns the destination in a bucket of Google Cloud Storage.
func openGCS(_ context.Context, l Location, _ Options) (Destination, error) { return nil, notYet(l) }
