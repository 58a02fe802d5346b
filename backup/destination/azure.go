package destination

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brockdb/brock/backup/fault"
)

// azureStore is the destination in a container of Azure Blob Storage.
type azureStore struct {
	bucket
	account azureAccount
	client  *container.Client
	sending chan struct{} // one token per block that is being sent
}

// openAzure returns the destination in a container of Azure Blob Storage.
func openAzure(_ context.Context, l Location, o Options) (Destination, error) {
	account, err := findAzureAccount(o.Credentials)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(o, "")
	if err != nil {
		return nil, err
	}
	client, err := account.open(l.Bucket, &container.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: &http.Client{Transport: transport},
		Retry:     policy.RetryOptions{MaxRetries: -1}, // brock does, and says so
		Telemetry: policy.TelemetryOptions{ApplicationID: "brock"},
	}})
	if err != nil {
		return nil, fault.New(fault.Usage, opOpen, "the account of Azure cannot be used: %w", err).WithHint("%s", azureHint)
	}
	if account.sendsInTheOpen() && account.key != "" {
		o.Warn("requests go to " + account.endpoint + " without encryption: use an https endpoint")
	}
	s := &azureStore{account: account, client: client, sending: make(chan struct{}, o.UploadConcurrency)}
	s.bucket = bucket{location: l, options: o, classify: s.classify}
	return s, nil
}

// classify implements bucket.fail. Source: learn.microsoft.com, "Blob Storage
// error codes".
func (s *azureStore) classify(e *fault.Error, action string, err error) {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		classifyNetwork(e, err)
		if strings.Contains(err.Error(), "DefaultAzureCredential") {
			e.Kind, e.Hint = fault.Denied, azureHint
		}
		return
	}
	code := bloberror.Code(answer.ErrorCode)
	e.Err = fmt.Errorf("the server answers %d %s", answer.StatusCode, printable(answer.ErrorCode))
	s.classifyStatus(e, answer.StatusCode, s.account.who, action)
	switch code {
	case bloberror.ContainerNotFound:
		e.Kind, e.Err = fault.NotFound, fmt.Errorf("there is no container %s at %s", s.location.Bucket, s.account.endpoint)
		e.Hint = "create the container; brock does not"
	case bloberror.BlobAlreadyExists:
		e.Kind = fault.Exists
	case bloberror.InvalidBlockList:
		e.Err = errSwept
	case bloberror.ContainerBeingDeleted, bloberror.MD5Mismatch:
		e.Kind = fault.Unavailable
	case bloberror.BlobImmutableDueToPolicy:
		e.Kind, e.Hint = fault.Denied, "the container has an immutability policy or a legal hold: wait until it ends"
	case bloberror.BlobArchived, bloberror.BlobBeingRehydrated:
		e.Kind, e.Hint = fault.Other, "the blob is in the archive tier: rehydrate it first"
	}
	if e.Kind == fault.Denied && code != bloberror.BlobImmutableDueToPolicy {
		e.Err = fmt.Errorf("%s may not %s in container %s (%d %s)", s.account.who, orThis(action), s.location.Bucket,
			answer.StatusCode, printable(answer.ErrorCode))
		if answer.StatusCode == http.StatusUnauthorized || code == bloberror.AuthenticationFailed {
			e.Hint = "check the account's key or the identity: " + azureHint
		}
	}
}

func (s *azureStore) properties(ctx context.Context, verb, name string) (blob.GetPropertiesResponse, error) {
	if err := s.check(ctx, verb, name); err != nil {
		return blob.GetPropertiesResponse{}, err
	}
	found, err := s.client.NewBlobClient(s.key(name)).GetProperties(ctx, nil)
	return found, s.fail(ctx, verb, name, "blobs/read", err)
}

// Stat implements Destination.
func (s *azureStore) Stat(ctx context.Context, name string) (Info, error) {
	found, err := s.properties(ctx, "stat", name)
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: name}
	if found.ContentLength != nil {
		info.Size = *found.ContentLength
	}
	if found.LastModified != nil {
		info.Modified = found.LastModified.UTC()
	}
	return info, nil
}

// Remove implements Destination.
func (s *azureStore) Remove(ctx context.Context, name string) error {
	if err := s.check(ctx, "remove", name); err != nil {
		return err
	}
	_, err := s.client.NewBlobClient(s.key(name)).Delete(ctx, nil)
	return s.fail(ctx, "remove", name, "blobs/delete", err)
}

// List implements Destination.
func (s *azureStore) List(ctx context.Context, dir string, visit func(Info) error) error {
	prefix, err := s.listPrefix(ctx, dir)
	if err != nil {
		return err
	}
	var found []Info
	pages := s.client.NewListBlobsHierarchyPager("/", &container.ListBlobsHierarchyOptions{Prefix: &prefix})
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.fail(ctx, "list", dir, "blobs/read", err)
		}
		if page.Segment == nil {
			continue
		}
		for _, folder := range page.Segment.BlobPrefixes {
			if name, ok := s.name(*folder.Name, prefix); ok {
				found = append(found, Info{Name: name, Dir: true})
			}
		}
		for _, item := range page.Segment.BlobItems {
			if name, ok := s.name(*item.Name, prefix); ok {
				found = append(found, azureInfo(name, item.Properties))
			}
		}
	}
	return s.visitSorted(ctx, dir, found, visit)
}

func azureInfo(name string, p *container.BlobProperties) Info {
	info := Info{Name: name}
	if p != nil && p.ContentLength != nil {
		info.Size = *p.ContentLength
	}
	if p != nil && p.LastModified != nil {
		info.Modified = p.LastModified.UTC()
	}
	return info
}

// Open implements Destination with one ranged request.
func (s *azureStore) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	return s.open(ctx, name, offset, length, nil)
}

// open reads a range; etag, when it is set, must still be the object's.
func (s *azureStore) open(ctx context.Context, name string, offset, length int64, etag *azcore.ETag) (io.ReadCloser, error) {
	if err := s.check(ctx, "open", name); err != nil {
		return nil, err
	}
	if err := s.checkRange(name, offset); err != nil {
		return nil, err
	}
	if length == 0 || length > 0 && offset+length < 0 {
		return s.openEmpty(ctx, name, offset, length)
	}
	o := &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: offset, Count: max(length, 0)}}
	if etag != nil {
		o.AccessConditions = &blob.AccessConditions{ModifiedAccessConditions: &blob.ModifiedAccessConditions{IfMatch: etag}}
	}
	found, err := s.client.NewBlobClient(s.key(name)).DownloadStream(ctx, o)
	switch {
	case bloberror.HasCode(err, bloberror.InvalidRange):
		return s.openEmpty(ctx, name, offset, length)
	case etag != nil && (bloberror.HasCode(err, bloberror.ConditionNotMet) || bloberror.HasCode(err, bloberror.BlobNotFound)):
		return nil, s.replaced(name)
	case err != nil:
		return nil, s.fail(ctx, "open", name, "blobs/read", err)
	}
	size := int64(0)
	if found.ContentLength != nil {
		size = *found.ContentLength
	}
	if found.ContentRange != nil {
		_, total, _ := strings.Cut(*found.ContentRange, "/")
		if n, err := strconv.ParseInt(total, 10, 64); err == nil {
			size = n
		}
	}
	return s.opened(ctx, name, found.Body, size, offset, length, func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
		return s.open(ctx, name, offset, length, found.ETag)
	})
}

func (s *azureStore) openEmpty(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.empty(name, info.Size, offset, length)
}
