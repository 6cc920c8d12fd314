package service

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory and have no buffers, so that the time of a
// bubble passes while a client is slow.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.once.Do(func() { close(p.done) }); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

const (
	whole = "POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	// half announces more of a body than it has.
	half = "POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
)

// stopHandler serves the requests of the tests below.
func stopHandler(t *testing.T, never <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whole", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
			return
		}
		io.WriteString(w, "answer")
	})
	mux.HandleFunc("POST /unread", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "answer") })
	mux.HandleFunc("GET /long", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(9 * time.Second): // of the bubble
			io.WriteString(w, "answer")
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /long", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error("a body that arrived before the stop:", err)
		}
		<-time.After(9 * time.Second)
		if err := r.Context().Err(); err != nil {
			t.Error("a request that arrived whole lost its context:", err)
		}
		io.WriteString(w, "answer")
	})
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, r *http.Request) {
		w.Write(bytes.Repeat([]byte("x"), 1<<20))
	})
	mux.HandleFunc("GET /endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprintln(w, "more")
			if http.NewResponseController(w).Flush() != nil {
				return
			}
			<-time.After(100 * time.Millisecond)
		}
	})
	mux.HandleFunc("GET /deaf", func(w http.ResponseWriter, r *http.Request) { <-never })
	return mux
}

// TestASlowClientDoesNotMakeAStopFail: whatever clients do, a stop ends without an error, within
// the time for their kind of slowness, and logs how many requests it cut off.
func TestASlowClientDoesNotMakeAStopFail(t *testing.T) {
	send := func(text string) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, text) }
	}
	answered := func(text, want string) func(net.Conn) {
		return func(c net.Conn) {
			io.WriteString(c, text)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				want = err.Error() + ", not " + want
			} else if body, err := io.ReadAll(res.Body); err != nil || res.Status+" "+string(body) != want {
				want = fmt.Sprintf("%s %s %v, not %s", res.Status, body, err, want)
			} else {
				return
			}
			panic(want)
		}
	}
	for name, tt := range map[string]struct {
		client func(net.Conn)
		most   time.Duration
		says   string // of the log; "" for no warning
	}{
		"nothing sent":            {func(net.Conn) {}, arriveTimeout, ""},
		"half a header":           {send("POST /whole HTTP/1.1\r\nHos"), arriveTimeout, "incomplete=1 unanswered=0"},
		"half a body":             {answered(half, "408 Request Timeout "), arriveTimeout, "incomplete=1 unanswered=0"},
		"half a body, unread":     {answered(strings.Replace(half, "whole", "unread", 1), "200 OK answer"), arriveTimeout, ""},
		"a body drop by drop":     {drip, arriveTimeout, "incomplete=1 unanswered=0"},
		"a kept connection":       {answered(whole, "200 OK answer"), 0, ""},
		"half a second header":    {func(c net.Conn) { answered(whole, "200 OK answer")(c); send("GET /lo")(c) }, 0, ""},
		"a long request":          {answered("GET /long HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK answer"), 9 * time.Second, ""},
		"a long one with a body":  {answered(strings.Replace(whole, "whole", "long", 1), "200 OK answer"), 9 * time.Second, ""},
		"an answer not read":      {send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n"), drainTimeout, "incomplete=0 unanswered=1"},
		"a small answer not read": {send("POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"), drainTimeout, "incomplete=0 unanswered=1"},
		"an answer without end":   {func(c net.Conn) { send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")(c); io.Copy(io.Discard, c) }, drainTimeout, "incomplete=0 unanswered=1"},
		"a handler without end":   {send("GET /deaf HTTP/1.1\r\nHost: x\r\n\r\n"), drainTimeout + cutTimeout, "incomplete=0 unanswered=1"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			old := slog.Default()
			slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
			defer slog.SetDefault(old)
			synctest.Test(t, func(t *testing.T) {
				never := make(chan struct{})
				defer close(never)
				listener := newPipes()
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- ServeOn(ctx, "http", listener, stopHandler(t, never)) }()
				conn := listener.dial()
				defer conn.Close()
				var client sync.WaitGroup
				client.Go(func() {
					defer func() {
						if p := recover(); p != nil {
							t.Error("the client got", p)
						}
					}()
					tt.client(conn)
				})
				synctest.Wait() // everything is sent, as far as the server reads it
				stop()
				begin := time.Now()
				if err := <-ended; err != nil {
					t.Errorf("the stop failed: %v", err)
				}
				// net/http checks every 500 ms at most whether connections have become idle.
				if took := time.Since(begin); took < tt.most || took > tt.most+time.Second {
					t.Errorf("the stop took %s, want %s", took, tt.most)
				}
				conn.Close()
				client.Wait()
			})
			switch {
			case tt.says == "" && log.Len() > 0:
				t.Errorf("a warning: %s", log.String())
			case tt.says != "" && (strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), tt.says)):
				t.Errorf("log %q, want one line with %q", log.String(), tt.says)
			}
		})
	}
}

// drip sends one byte of a body per second for as long as the server reads it.
func drip(c net.Conn) {
	io.WriteString(c, half)
	go io.Copy(io.Discard, c) // a pipe has no room for the answer
	for {
		if _, err := io.WriteString(c, " "); err != nil {
			return
		}
		<-time.After(time.Second)
	}
}

// TestAServerStopsWithinTheProcessesTime: the parts that stop before it leave a server less time
// than its own bound.
func TestAServerStopsWithinTheProcessesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var j journal
		never := make(chan struct{})
		defer close(never)
		listener := newPipes()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, quiet, 12*time.Second,
				Component{"http", func(ctx context.Context) error { return ServeOn(ctx, "http", listener, stopHandler(t, never)) }},
				j.worker("relay", 8*time.Second))
		}()
		conn := listener.dial()
		defer conn.Close()
		io.WriteString(conn, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
		go io.Copy(io.Discard, conn)
		synctest.Wait()
		stop()
		begin := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("the stop failed: %v", err)
		}
		if took := time.Since(begin); took < 11*time.Second || took >= 12*time.Second {
			t.Errorf("the stop took %s, want 11s", took)
		}
	})
}
