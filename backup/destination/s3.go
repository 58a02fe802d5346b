package destination

import "context"

// openS3 returns the destination in a bucket of S3 or of a server that speaks
// its protocol.
func openS3(_ context.Context, l Location, o Options) (Destination, error) {
	if err := o.Credentials.check(); err != nil {
		return nil, err
	}
	if _, err := newTransport(o, o.S3CACert); err != nil {
		return nil, err
	}
	return nil, notYet(l)
}
