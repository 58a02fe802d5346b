package graph

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// How fast a body must come once its grace is over, in bytes a second: that of a
// GraphQL request, or of /load, which may be fed by a program that has something
// to say now and then. One that drips holds its connection and its memory.
const (
	leastOfQuery = 1 << 10
	leastOfLoad  = 16
)

// slowClients gives every read of a body and every write of an answer its time:
// a client that stops in the middle of a request must not hold what the request
// holds, a snapshot for instance. How long a request may take has no limit, as
// long as its body comes fast enough.
func slowClients(next http.Handler, timeout, grace time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			body := &patientBody{ReadCloser: r.Body, control: control, timeout: timeout}
			body.least, body.most = leastOfQuery, grace
			if r.URL.Path == "/load" {
				body.least, body.most = leastOfLoad, timeout
			}
			body.left = body.most
			// What the handler does not read, net/http does, before it sends the answer.
			_ = control.SetReadDeadline(time.Now().Add(body.left))
			// A copy: net/http must find its own body in the request it made, or it
			// resets the connection under an answer that comes before the body's end.
			r = r.WithContext(r.Context())
			r.Body = body
		}
		// What net/http itself writes, before and after the handler, has its time too.
		allow := func() { _ = control.SetWriteDeadline(time.Now().Add(timeout)) }
		allow()
		defer allow()
		next.ServeHTTP(&patientWriter{w, control, timeout}, r)
	})
}

// patientBody moves the read deadline on before each read, and takes it away
// when all is read: from then on net/http itself reads, to see whether the client
// is there, and would take the deadline for its leaving. A connection that has no
// deadlines, such as a test's, is read without.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
	least   int           // bytes that give a second
	left    time.Duration // that reads may still wait, all together; what came gives more
	most    time.Duration // of left: what came fast is no leave to drip for hours
}

// Read waits as long as it may. What is late is os.ErrDeadlineExceeded.
func (b *patientBody) Read(p []byte) (int, error) {
	begun := time.Now()
	_ = b.control.SetReadDeadline(begun.Add(min(b.timeout, b.left)))
	n, err := b.ReadCloser.Read(p)
	b.left += time.Duration(n)*time.Second/time.Duration(b.least) - time.Since(begun)
	b.left = min(b.left, b.most)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// patientWriter does the same for writes.
type patientWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (w *patientWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.timeout))
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find the connection.
func (w *patientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
