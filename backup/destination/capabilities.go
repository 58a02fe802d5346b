package destination

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// Capabilities are what a storage does beyond what every Destination must.
type Capabilities struct {
	// Checksums names what the server compares uploads with; "" means that
	// nothing is compared.
	Checksums string `json:"checksums"`
	// ObjectLock is "yes", "no", or "unknown" when it could not be asked.
	ObjectLock string `json:"object_lock"`
}

// The answers to whether there is an object lock.
const (
	yes     = "yes"
	no      = "no"
	unknown = "unknown"
)

// CapabilitiesOf asks the storage behind d what it can do.
func CapabilitiesOf(ctx context.Context, d Destination) Capabilities {
	if able, ok := Unwrap(d).(interface {
		capabilities(ctx context.Context) Capabilities
	}); ok {
		return able.capabilities(ctx)
	}
	return Capabilities{ObjectLock: no}
}

func (s *s3Store) capabilities(ctx context.Context) Capabilities {
	c := Capabilities{Checksums: "CRC-32C", ObjectLock: unknown}
	enabled, _, _, _, err := s.core.GetObjectLockConfig(ctx, s.location.Bucket)
	switch {
	case err == nil && enabled == "Enabled":
		c.ObjectLock = yes
	case err == nil, kindOfCode(minio.ToErrorResponse(err).Code) == codeNoLock:
		c.ObjectLock = no
	}
	return c
}

func (s *gcsStore) capabilities(context.Context) Capabilities {
	return Capabilities{Checksums: "CRC-32C", ObjectLock: no}
}

func (s *azureStore) capabilities(context.Context) Capabilities {
	return Capabilities{Checksums: "MD5", ObjectLock: no}
}
