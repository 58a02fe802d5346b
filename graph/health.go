package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/admin"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/store"
)

// nodeHealth is one element of /health, in Dgraph's shape.
type nodeHealth struct {
	Instance string   `json:"instance"`
	Address  string   `json:"address"`
	Status   string   `json:"status"`
	Reason   string   `json:"reason,omitempty"` // of another status than healthy
	Group    string   `json:"group"`
	Version  string   `json:"version"`
	Uptime   int64    `json:"uptime"`   // seconds
	LastEcho int64    `json:"lastEcho"` // seconds since 1970
	Ongoing  []string `json:"ongoing,omitempty"`
}

// What a status is, beside "starting" and "shutting down".
const (
	healthy     = "healthy"
	diskTrouble = "disk trouble" // it goes on
	diskFailed  = "disk failed"  // until it is started again
)

func (s *Server) healthOf(node *worker.Node) nodeHealth {
	now := time.Now()
	h := nodeHealth{Instance: "alpha", Status: healthy, Version: s.options.Version, LastEcho: now.Unix()}
	if address := s.address.Load(); address != nil {
		h.Address = *address
	}
	if node != nil {
		h.Status, h.Reason = diskStatus(node.Disk(), now)
	}
	switch {
	case s.ending.Load():
		h.Status = "shutting down"
	case node == nil:
		h.Status = "starting"
	}
	if node != nil {
		status := node.Status()
		h.Group = strconv.FormatUint(uint64(status.Group), 10)
		h.Uptime = int64(now.Sub(status.Started).Seconds())
		h.Ongoing = status.Ongoing
	}
	return h
}

// diskStatus tells what the disk of the store makes of the status. Whoever may
// ask for /health need not know paths.
func diskStatus(d store.DiskHealth, now time.Time) (status, reason string) {
	err := d.Failed
	switch {
	case err != nil:
		status, reason = diskFailed, "the database takes no more writes"
	case d.Trouble != nil:
		err, status, reason = d.Trouble, diskTrouble, "the disk of the database makes trouble"
	default:
		return healthy, ""
	}
	if fault.Is(err, fault.NoSpace) {
		return status, "the disk of the database is full"
	}
	if cause := worker.DiskCause(err); cause != "" {
		reason += ": " + cause
	}
	return status, fmt.Sprintf("%s, since %s", reason, d.Since.UTC().Format(time.RFC3339))
}

// node returns nil while there is none.
func (s *Server) node() *worker.Node {
	if service := s.ready.Load(); service != nil {
		return service.node
	}
	return nil
}

// health answers 200 when requests are served. With ?live=1 it answers 200 as
// soon as the process does.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	h := s.healthOf(s.node())
	status := http.StatusOK
	if h.Status != healthy && !r.URL.Query().Has("live") {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, []nodeHealth{h})
}

// probe is Dgraph's readiness check of GraphQL.
func (s *Server) probe(w http.ResponseWriter, _ *http.Request) {
	if h := s.healthOf(s.node()); h.Status != healthy {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": h.Status})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "up", "schemaUpdateCounter": 1})
}

// states is /health for the GraphQL query of that name.
func (s *Server) states(node *worker.Node) []*admin.NodeState {
	h := s.healthOf(node)
	var reason *string
	if disk := node.Disk(); h.Status != healthy { // who asks here may know all of it
		for _, err := range []error{disk.Trouble, disk.Failed} {
			if err != nil {
				text := err.Error()
				reason = &text
			}
		}
	}
	ongoing := h.Ongoing
	if ongoing == nil {
		ongoing = []string{}
	}
	return []*admin.NodeState{{
		Instance: h.Instance, Address: h.Address, Status: h.Status, Reason: reason, Group: h.Group, Version: h.Version,
		Uptime: h.Uptime, LastEcho: h.LastEcho, Ongoing: ongoing,
	}}
}

type member struct {
	ID      string `json:"id"`
	GroupID uint32 `json:"groupId"`
	Addr    string `json:"addr"`
	Leader  bool   `json:"leader"`
}

type groupState struct {
	Members     map[string]member `json:"members"`
	Collections int               `json:"collections"`
}

type clusterState struct {
	Groups    map[string]groupState `json:"groups"`
	MaxUID    string                `json:"maxUID"`
	MaxTxnTs  string                `json:"maxTxnTs"`
	ClusterID string                `json:"cid"`
}

// state tells who serves what.
func (s *Server) state(node *worker.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		view, err := node.View()
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		defer view.Close()
		collections, err := view.Collections("")
		if err != nil {
			refuse(w, statusOf(err), err)
			return
		}
		status, health := node.Status(), s.healthOf(node)
		writeJSON(w, http.StatusOK, clusterState{
			Groups: map[string]groupState{health.Group: {
				Members:     map[string]member{"1": {ID: "1", GroupID: status.Group, Addr: health.Address, Leader: true}},
				Collections: len(collections),
			}},
			MaxUID:    strconv.FormatUint(status.MaxUID, 10),
			MaxTxnTs:  strconv.FormatUint(status.MaxTs, 10),
			ClusterID: status.DBID,
		})
	})
}

// writeJSON answers with compact JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}
