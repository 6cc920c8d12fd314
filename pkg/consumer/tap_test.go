package consumer_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// tap records the statements that a pool's connections execute, in whatever way they are sent.
type tap struct {
	mu    sync.Mutex
	conns [][]string // the statements of each connection
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func (w *tap) dial(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		r, sent := io.Pipe()
		w.mu.Lock()
		n := len(w.conns)
		w.conns = append(w.conns, nil)
		w.mu.Unlock()
		go w.listen(n, r)
		return &tappedConn{conn, sent}, nil
	}
}

type tappedConn struct {
	net.Conn
	sent *io.PipeWriter
}

func (c *tappedConn) Write(b []byte) (int, error) {
	if _, err := c.sent.Write(b); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *tappedConn) Close() error {
	_ = c.sent.Close() // never fails
	return c.Conn.Close()
}

// listen reads the messages of the n-th connection.
func (w *tap) listen(n int, r *io.PipeReader) {
	server := pgproto3.NewBackend(r, io.Discard)
	_, err := server.ReceiveStartupMessage()
	prepared, bound := map[string]string{}, ""
	for err == nil {
		var m pgproto3.FrontendMessage
		if m, err = server.Receive(); err != nil {
			break
		}
		executed := ""
		switch m := m.(type) {
		case *pgproto3.Parse:
			prepared[m.Name] = m.Query
		case *pgproto3.Bind:
			bound = prepared[m.PreparedStatement]
		case *pgproto3.Execute:
			executed = bound
		case *pgproto3.Query:
			executed = m.String
		}
		if executed != "" {
			w.mu.Lock()
			w.conns[n] = append(w.conns[n], executed)
			w.mu.Unlock()
		}
	}
	_ = r.CloseWithError(err) // never fails
}

// transaction returns the statements of the one transaction that mentions a table.
func (w *tap) transaction(table string) (found []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, statements := range w.conns {
		begin := 0
		for i, sql := range statements {
			switch {
			case strings.HasPrefix(strings.ToLower(sql), "begin"):
				begin = i
			case strings.HasPrefix(strings.ToLower(sql), "commit"):
				if one := statements[begin : i+1]; strings.Contains(strings.Join(one, ""), table) {
					found = append(found, one...)
				}
			}
		}
	}
	return found
}
