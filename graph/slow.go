package graph

import (
	"io"
	"net/http"
	"time"
)

// A client that stops in the middle of a request must not hold what the request
// holds, a snapshot for instance. There is no limit on how long a request may
// take, only on how long a client may neither send nor take anything.
const clientTimeout = 2 * time.Minute

// slowClients gives every read of a body and every write of an answer its time.
func slowClients(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// A copy: net/http must find its own body in the request it made, or it
			// resets the connection under an answer that comes before the body's end.
			r = r.WithContext(r.Context())
			r.Body = &patientBody{r.Body, control, timeout}
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
// is there, and would take the deadline for its leaving. A connection that has no deadlines, such as a test's, is read without.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	timeout time.Duration
}

func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(b.timeout))
	n, err := b.ReadCloser.Read(p)
	if err != nil {
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
