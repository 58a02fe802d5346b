package graph

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/golang/glog"
	"github.com/klauspost/compress/gzip"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/jsontext"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/store"
)

// readTsHeader says which commit a dump shows.
const readTsHeader = "X-Brock-Read-Ts"

// dump streams a collection in the order of its keys. An error in the middle
// breaks the connection: the client must not take a part for the whole.
func (s *Server) dump(node *worker.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.ProtoAtLeast(1, 1) {
			refuse(w, http.StatusHTTPVersionNotSupported, fault.New(fault.Usage, "dump collection",
				"with HTTP/1.0 a transfer that broke off looks like a whole one").WithHint("use HTTP/1.1"))
			return
		}
		target, err := collectionOf(r, "namespace", "collection", "prefix", "from", "to")
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		view, err := node.View()
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		defer view.Close()
		if _, err := view.Lookup(target.Namespace, target.Collection); err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/x-ndjson")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Accept-Encoding")
		h.Set(readTsHeader, strconv.FormatUint(view.ReadTs(), 10))
		zipped := acceptsGzip(r)
		if zipped {
			h.Set("Content-Encoding", "gzip")
		}
		if r.Method == http.MethodHead {
			return
		}
		if err := stream(w, r, view, target, zipped); err != nil {
			if r.Context().Err() == nil {
				glog.Errorf("%v", fault.Wrap(err, "dump collection %s", target))
			}
			panic(http.ErrAbortHandler)
		}
	})
}

// stream writes the records that the URL chooses.
func stream(w io.Writer, r *http.Request, view *store.View, target store.Ref, zipped bool) (err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	var sink io.Writer = out
	var pack *gzip.Writer
	if zipped {
		if pack, err = gzip.NewWriterLevel(out, gzip.BestSpeed); err != nil {
			return err
		}
		sink = pack
	}
	query := r.URL.Query()
	options := store.ScanOptions{Prefix: query.Get("prefix"), From: query.Get("from"), To: query.Get("to")}
	var line []byte
	err = view.Scan(r.Context(), target.Namespace, target.Collection, options,
		func(key string, value []byte, _ uint64) error {
			line = appendRecord(line[:0], key, value)
			_, err := sink.Write(line)
			return err
		})
	if err == nil && pack != nil {
		err = pack.Close()
	}
	return errors.Join(err, out.Flush())
}

// appendRecord writes a record as a line, as /load reads it.
func appendRecord(dst []byte, key string, value []byte) []byte {
	dst = append(dst, `{"key":`...)
	dst = jsontext.AppendString(dst, key)
	dst = append(dst, `,"value":`...)
	dst = append(dst, value...)
	return append(dst, "}\n"...)
}

// acceptsGzip reads Accept-Encoding; "gzip;q=0" means no.
func acceptsGzip(r *http.Request) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		q, found := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return !found || err == nil && value > 0
	}
	return false
}
