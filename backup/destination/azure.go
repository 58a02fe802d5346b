package destination

import "context"

// openAzure returns the destination in a container of Azure Blob Storage.
func openAzure(_ context.Context, l Location, _ Options) (Destination, error) { return nil, notYet(l) }
