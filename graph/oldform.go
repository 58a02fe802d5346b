package graph

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/task"
)

// How Dgraph took backups before its /admin spoke GraphQL, and how the oldest
// scripts still ask for one: a form posted to /admin/backup, which is answered
// when the backup is done.

// oldAnswer is the answer to such a form.
type oldAnswer struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

const (
	formBytes = 64 << 10
	// formPoll is how often the task of a form is looked at.
	formPoll = 50 * time.Millisecond
)

// backupForm takes a backup and answers when it has come to its end. A client
// that goes away leaves the backup to go on.
func (s *Server) backupForm(node *worker.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, status, err := readBackupForm(w, r)
		if err != nil {
			refuse(w, status, err)
			return
		}
		id, err := node.SubmitBackup(r.Context(), q)
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		if err := awaitTask(r.Context(), node, id); err != nil {
			refuse(w, http.StatusInternalServerError, err)
			return
		}
		writeJSON(w, http.StatusOK, oldAnswer{"Success", "Backup completed."})
	})
}

// readBackupForm reads what Dgraph's form had. Fields stand in the body or in
// the query, but secrets only in the body: a URL is logged in many places.
func readBackupForm(w http.ResponseWriter, r *http.Request) (q worker.BackupRequest, status int, err error) {
	refused := func(cause string, args ...any) (worker.BackupRequest, int, error) {
		return q, http.StatusBadRequest, fault.New(fault.Usage, "back up", cause, args...).
			WithHint("post a form: destination=/backups and, for a full backup, force_full=true")
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Header.Get("Content-Type") != "" && (err != nil || mediaType != "application/x-www-form-urlencoded" && mediaType != "multipart/form-data") {
		q, _, err := refused("the content type is not that of a form")
		return q, http.StatusUnsupportedMediaType, err
	}
	r.Body = http.MaxBytesReader(w, r.Body, formBytes)
	if mediaType == "multipart/form-data" {
		err = r.ParseMultipartForm(formBytes)
	} else {
		err = r.ParseForm()
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		q, _, err := refused("the form has more than %d bytes", formBytes)
		return q, http.StatusRequestEntityTooLarge, err
	case err != nil:
		return refused("the form is malformed") // its text may hold secrets
	}
	for _, secret := range []string{"access_key", "secret_key", "session_token"} {
		if r.URL.Query().Has(secret) {
			return refused("%s stands in the URL", secret)
		}
	}
	q = worker.BackupRequest{
		Destination: r.Form.Get("destination"),
		Credentials: destination.Credentials{
			AccessKey: r.PostForm.Get("access_key"), SecretKey: r.PostForm.Get("secret_key"), SessionToken: r.PostForm.Get("session_token"),
		},
	}
	if q.Destination == "" {
		return refused("the form has no destination")
	}
	for name, into := range map[string]*bool{"force_full": &q.ForceFull, "anonymous": &q.Credentials.Anonymous} {
		text := r.Form.Get(name)
		if text == "" {
			continue
		}
		if *into, err = strconv.ParseBool(text); err != nil {
			return refused("%s is neither true nor false", name)
		}
	}
	return q, http.StatusOK, nil
}

// awaitTask waits for the end of a task and returns the error it came to.
func awaitTask(ctx context.Context, node *worker.Node, id string) error {
	tick := time.NewTicker(formPoll)
	defer tick.Stop()
	for {
		t, err := node.Task(id)
		switch {
		case err != nil:
			return err
		case t.Status == task.Success:
			return nil
		case t.Status.Final():
			e := fault.New(t.ErrorKind, "finish task "+id, "%s", t.Message)
			if t.Hint != "" {
				return e.WithHint("%s", t.Hint)
			}
			return e
		}
		select {
		case <-ctx.Done():
			return fault.Wrap(context.Cause(ctx), "wait for task %s", id)
		case <-tick.C:
		}
	}
}
