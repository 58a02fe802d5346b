package gql

import (
	"errors"
	"mime"
	"net/http"
	"os"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/budget"
	"github.com/brockdb/brock/graph/jsontext"
)

// request is what a client asks for, before anything of it is understood.
type request struct {
	query     string
	operation string         // the name of the operation to run; may be empty
	variables jsontext.Value // a JSON object or null; nil when absent
}

// refusal is the answer to what holds no operation.
type refusal struct {
	status int
	allow  string // for 405
	err    error
}

const opRead = "read request"

func refuse(status int, hint, cause string, args ...any) *refusal {
	return &refusal{status: status, err: fault.New(fault.Usage, opRead, cause, args...).WithHint("%s", hint)}
}

// read takes the request out of HTTP. No error repeats any of it.
func (e *Endpoint) read(w http.ResponseWriter, r *http.Request, memory *budget.Share) (*request, *refusal) {
	switch r.Method {
	case http.MethodGet:
		return readURL(r)
	case http.MethodPost:
	default:
		no := refuse(http.StatusMethodNotAllowed, "send it with POST", "its method is not GET or POST")
		no.allow = "GET, POST"
		return nil, no
	}
	const hint = `send {"query":"…"} as Content-Type: application/json, or the bare query as application/graphql`
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && mediaType != "application/graphql" {
		return nil, refuse(http.StatusUnsupportedMediaType, hint, "its content type is not one of GraphQL")
	}
	body, refused := e.readBody(w, r, memory)
	switch {
	case refused != nil:
		return nil, refused
	case !utf8.Valid(body):
		return nil, refuse(http.StatusBadRequest, hint, "it is not valid UTF-8")
	}
	if mediaType == "application/graphql" {
		return &request{query: string(body)}, nil
	}
	req, err := decodeBody(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, hint, "%w", err)
	}
	return req, nil
}

// readBody reads no more than the limit, and that no slower than the server
// allows.
func (e *Endpoint) readBody(w http.ResponseWriter, r *http.Request, memory *budget.Share) ([]byte, *refusal) {
	const less = "send fewer records at a time, or use /load"
	most := e.limits.BodyBytes
	if r.ContentLength > most { // before any of it is read
		w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusRequestEntityTooLarge, less, "it has more than %d bytes, which is the limit", most)
	}
	body, err := memory.ReadAll(http.MaxBytesReader(w, r.Body, most), r.ContentLength)
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, less, "it has more than %d bytes, which is the limit", tooLarge.Limit)
	case errors.Is(err, budget.ErrSpent):
		w.Header().Set("Retry-After", "1")
		w.Header().Set("Connection", "close")
		return nil, &refusal{status: http.StatusServiceUnavailable, err: err}
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		return nil, refuse(http.StatusRequestTimeout, "send it again, faster", "its body came too slowly")
	}
	return nil, refuse(http.StatusBadRequest, "send it again", "its body broke off")
}

// readURL reads a query from ?query=&operationName=&variables=.
func readURL(r *http.Request) (*request, *refusal) {
	const hint = "send GET /graphql?query={…}, or POST"
	values := r.URL.Query()
	req := &request{query: values.Get("query"), operation: values.Get("operationName")}
	if text := values.Get("variables"); text != "" {
		req.variables = jsontext.Value(text)
		if err := jsontext.Check(req.variables); err != nil {
			return nil, refuse(http.StatusBadRequest, hint, "variables: %w", err)
		}
	}
	if !utf8.ValidString(req.query) {
		return nil, refuse(http.StatusBadRequest, hint, "it is not valid UTF-8")
	}
	if req.query == "" {
		return nil, refuse(http.StatusBadRequest, hint, "it has no query")
	}
	return req, nil
}

// decodeBody reads {"query", "operationName", "variables"}; other members, such
// as "extensions", are of no use here.
func decodeBody(body []byte) (*request, error) {
	if err := jsontext.Check(body); err != nil {
		return nil, err
	}
	req := new(request)
	text := func(name string, value jsontext.Value, into *string) (err error) {
		if string(value) == "null" {
			return nil
		}
		if *into, err = jsontext.DecodeString(value); err != nil {
			return errors.New(name + ": " + err.Error())
		}
		return nil
	}
	err := jsontext.Members(body, func(name string, value jsontext.Value) error {
		switch name {
		case "query":
			return text(name, value, &req.query)
		case "operationName":
			return text(name, value, &req.operation)
		case "variables":
			req.variables = value
		}
		return nil
	})
	if err == nil && req.query == "" {
		err = errors.New("it has no query")
	}
	return req, err
}
