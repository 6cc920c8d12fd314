package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a server. Requests are small and answered from a local database, so the limits are
// generous. They ensure that a slow client cannot keep a connection for ever.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second // a 1 MiB body on a slow line
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// Times of a stop. They bound what any client can add to it.
const (
	// arriveTimeout is how long a stop waits for the rest of a request that is still arriving.
	// Cutting such a request off loses no work, since no handler has seen the whole request.
	arriveTimeout = 2 * time.Second
	// drainTimeout is how long requests that arrived whole have for their answers. It equals the
	// time that httpapi allows a handler.
	drainTimeout = 10 * time.Second
	// cutTimeout is how long handlers have to notice that their connections were cut, so that what
	// they use is not closed while they use it.
	cutTimeout = time.Second
)

// Serve listens on addr ("host:port", port 0 for a free one) at once, so that a taken port is an
// error of the start that names the address. It returns the component that serves h, and the
// address it listens on.
//
// At a stop it accepts no more connections and closes those that are idle. It waits 2 s for
// requests that are still arriving, and 10 s in total for answers, or less when the process has
// less left to stop (see [Run]). Then it cuts the connections that are left. A slow client is no
// fault of the service: the component returns nil and logs once how many requests it cut off.
func Serve(name, addr string, h http.Handler) (Component, net.Addr, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return Component{}, nil, fmt.Errorf("%s: cannot listen on %s: %w", name, addr, err)
	}
	return Component{Name: name, Run: func(ctx context.Context) error { return ServeOn(ctx, name, listener, h) }}, listener.Addr(), nil
}

// ServeOn serves h on a listener until ctx is done; see [Serve]. It closes the listener.
func ServeOn(ctx context.Context, name string, listener net.Listener, h http.Handler) error {
	requests, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	tracked := newConnections()
	server := &http.Server{
		Handler:           tracked.handler(h),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ConnContext:       tracked.context,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	slog.InfoContext(ctx, "listening", "component", name, "address", listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(trackedListener{listener, tracked}) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	begin := time.Now()
	until := begin.Add(drainTimeout)
	if by, ok := stopBy(ctx); ok && by.Add(-cutTimeout).Before(until) {
		until = by.Add(-cutTimeout)
	}
	drain, cancel := context.WithDeadline(context.WithoutCancel(ctx), until)
	defer cancel()
	arrive := time.AfterFunc(min(arriveTimeout, time.Until(until)), tracked.stopReading)
	defer arrive.Stop()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		tracked.cutOff()
		cut()
		err = server.Close()
		tracked.wait(cutTimeout)
	}
	if incomplete, unanswered := tracked.losses(); incomplete+unanswered > 0 {
		slog.WarnContext(ctx, "requests cut off by the stop", "component", name, "incomplete", incomplete,
			"unanswered", unanswered, "after", time.Since(begin).Round(time.Millisecond).String())
	}
	if err != nil {
		return fmt.Errorf("stop serving on %s: %w", listener.Addr(), err)
	}
	return nil
}
