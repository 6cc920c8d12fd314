package service

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections tracks the progress of each request of a server, which net/http does not report:
// whether it arrived whole, and whether a handler is still working on it.
type connections struct {
	mu         sync.Mutex
	open       map[*connection]struct{}
	handling   int           // requests that handlers are working on
	idle       chan struct{} // closed when handling falls to 0; nil unless wait needs it
	stopped    bool          // no connection is read any more
	incomplete int           // requests that had not arrived whole when reading stopped
	unanswered int           // requests that had no answer when the connections were cut
}

func newConnections() *connections {
	return &connections{open: map[*connection]struct{}{}}
}

// connection is one connection of a server. Its fields are guarded by the mutex of all.
type connection struct {
	net.Conn
	all      *connections
	begun    bool // part of a request was read that no handler has yet
	handling bool // a handler is working on a request
	arrived  bool // the body of that request was read to its end
	lost     bool // the body of that request never arrived whole, because reading stopped
}

// trackedListener tracks the connections that it accepts.
type trackedListener struct {
	net.Listener
	all *connections
}

func (l trackedListener) Accept() (net.Conn, error) {
	plain, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &connection{Conn: plain, all: l.all}
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	l.all.open[c] = struct{}{}
	return c, nil
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.begun = true
	}
	return n, err
}

func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

type connectionKey struct{}

// context is the server's ConnContext.
func (a *connections) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, conn)
}

// handler records when requests enter h and leave it.
func (a *connections) handler(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*connection)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		a.begin(c, r.Body == http.NoBody)
		defer a.end(c)
		if r.Body != http.NoBody {
			r.Body = arriving{r.Body, c}
		}
		h.ServeHTTP(w, r)
	})
}

func (a *connections) begin(c *connection, arrived bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.handling, c.arrived, c.begun, c.lost = true, arrived, false, false
	a.handling++
}

func (a *connections) end(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c.handling, c.begun = false, false
	if a.handling--; a.handling == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// arriving is a request's body that records its end.
type arriving struct {
	io.ReadCloser
	connection *connection
}

func (b arriving) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.connection.all.bodyEnded(b.connection, errors.Is(err, io.EOF))
	}
	return n, err
}

func (a *connections) bodyEnded(c *connection, whole bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !whole && a.stopped && !c.arrived {
		c.lost = true
		a.incomplete++
	}
	c.arrived = true // or never will
}

// stopReading makes every read fail from now on, except where a request has arrived whole: there
// net/http reads ahead to notice that the client leaves. A handler that waits for the rest of a
// body gets an error and answers. A connection with half a header is closed.
func (a *connections) stopReading() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	for c := range a.open {
		if c.handling && c.arrived {
			continue
		}
		if c.begun && !c.handling {
			a.incomplete++
		}
		// A deadline in the past ends reads in progress. Setting it fails on a connection that has
		// just been closed, which has the same effect.
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// cutOff counts the requests that have no answer by now: a handler is still working on one, or the
// client does not read the answer that the handler left. Incomplete requests are counted already,
// and connections without a request are closed by now.
func (a *connections) cutOff() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.open {
		if !c.lost {
			a.unanswered++
		}
	}
}

// losses returns how many requests the stop cut off: before they had arrived, and before they were
// answered.
func (a *connections) losses() (incomplete, unanswered int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.incomplete, a.unanswered
}

// wait returns when no handler is working any more, but after most at the latest.
func (a *connections) wait(most time.Duration) {
	a.mu.Lock()
	if a.handling == 0 {
		a.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	a.idle = idle
	a.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
