// Package adminclient has a function for each operation of /admin that brock's
// commands use, made by genqlient from the schema and operations.graphql.
//
//	alpha, err := client.New("http://127.0.0.1:8080", client.Options{})
//	queued, err := adminclient.Backup(ctx, adminclient.New(alpha), adminclient.BackupInput{Destination: "/backups"})
package adminclient

import (
	"context"

	"github.com/Khan/genqlient/graphql"

	"github.com/brockdb/brock/graph/client"
)

// New returns the /admin of an alpha, which the functions of this package ask.
// Their errors are of package fault, with the kind and the hint that the alpha
// gave them.
func New(alpha *client.Client) graphql.Client { return endpoint{alpha} }

type endpoint struct{ alpha *client.Client }

// MakeRequest runs one operation; the first of several errors is returned.
func (e endpoint) MakeRequest(ctx context.Context, request *graphql.Request, response *graphql.Response) error {
	return e.alpha.Admin(ctx, request.Query, request.Variables, response.Data)
}
