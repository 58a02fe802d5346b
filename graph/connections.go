package graph

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// connections bounds how many connections there are at a time. When there are
// as many as may be, one that waits for its next request makes room; when none
// does, the new one is closed. A client that sends its request byte by byte
// loses it to the timeout of headers, so that room comes soon.
type connections struct {
	most int

	mu   sync.Mutex
	open map[net.Conn]struct{} // as Accept returned them
	idle []net.Conn            // those that wait, the longest first
}

func newConnections(most int) *connections {
	return &connections{most: most, open: make(map[net.Conn]struct{})}
}

// limit returns a listener whose connections are counted.
func (c *connections) limit(l net.Listener) net.Listener { return &limitedListener{l, c} }

type limitedListener struct {
	net.Listener
	connections *connections
}

// Accept waits for a connection for which there is room.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if counted := l.connections.admit(conn); counted != nil {
			return counted, nil
		}
		_ = conn.Close() // nothing was sent
	}
}

// admit counts a connection, or returns nil.
func (c *connections) admit(conn net.Conn) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) >= c.most {
		if len(c.idle) == 0 {
			return nil
		}
		longest := c.idle[0].(*countedConn)
		c.forget(longest)
		_ = longest.Conn.Close() // no request is on it
	}
	counted := &countedConn{Conn: conn, connections: c}
	c.open[counted] = struct{}{}
	return counted
}

// forget must be called with the lock held.
func (c *connections) forget(conn net.Conn) {
	delete(c.open, conn)
	c.busy(conn)
}

// busy takes a connection from those that wait.
func (c *connections) busy(conn net.Conn) {
	if at := slices.Index(c.idle, conn); at >= 0 {
		c.idle = slices.Delete(c.idle, at, at+1)
	}
}

// changed is what http.Server tells about a connection.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // of TLS
		conn = wrapped.NetConn()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[conn]; !ok {
		return
	}
	c.busy(conn)
	if state == http.StateIdle {
		c.idle = append(c.idle, conn)
	}
}

// count returns how many connections there are.
func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// countedConn is counted until it is closed.
type countedConn struct {
	net.Conn
	connections *connections
}

// Close makes room for another.
func (c *countedConn) Close() error {
	c.connections.mu.Lock()
	c.connections.forget(c)
	c.connections.mu.Unlock()
	return c.Conn.Close()
}
