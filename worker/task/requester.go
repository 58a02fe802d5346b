package task

import "context"

type requesterKey struct{}

// WithRequester returns a context under which tasks are submitted on behalf of
// who: an address, a user, the name of a schedule. It is stored and shown, and
// must hold no secret.
func WithRequester(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, requesterKey{}, who)
}

func requester(ctx context.Context) string {
	who, _ := ctx.Value(requesterKey{}).(string)
	return who
}
