package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// LineError is why a load ended early. The records of the lines before Line are
// stored, that line and those after it are not.
type LineError struct {
	Line   int64  // from 1; 0 when it is not about a line
	Reason string // why it cannot be stored
	Stored int64  // records of this load that are stored
}

// Error says line, reason and how many records are stored.
func (e *LineError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s (%d records are stored)", e.Reason, e.Stored)
	}
	return fmt.Sprintf("line %d: %s (%d records before it are stored)", e.Line, e.Reason, e.Stored)
}

// remoteError is an error as the alpha tells it.
type remoteError struct {
	Message    string `json:"message"`
	Extensions struct {
		Code string `json:"code"`
		Hint string `json:"hint"`
	} `json:"extensions"`
}

// fault returns the error with the kind and the hint it had in the alpha. The
// message already reads "cannot <verb> <object>: <cause>; <hint>".
func (r *remoteError) fault(op string) error {
	hint := r.Extensions.Hint
	message := strings.TrimSuffix(r.Message, "; "+hint)
	return fault.New(KindOf(r.Extensions.Code), op, "%s", message).WithHint("%s", hint)
}

// KindOf is the inverse of how /admin names kinds: NOT_FOUND is "not found".
// What is no kind's name is of kind Other.
func KindOf(code string) fault.Kind {
	return fault.KindNamed(strings.ToLower(strings.ReplaceAll(code, "_", " ")))
}

// maxErrorBytes bounds what is read of an answer that is an error.
const maxErrorBytes = 64 << 10

// responseError makes an answer that is not 200 an error.
func responseError(op string, res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxErrorBytes))
	if err != nil {
		return fault.New(fault.Other, op, "the alpha answers %s and the reason broke off: %w", res.Status, err)
	}
	var answer struct {
		Errors []remoteError `json:"errors"`
	}
	if json.Unmarshal(body, &answer) == nil && len(answer.Errors) > 0 {
		return answer.Errors[0].fault(op)
	}
	text, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return fault.New(fault.Other, op, "the answer is %s: %q", res.Status, text).
		WithHint("is this the address of a brock alpha?")
}
