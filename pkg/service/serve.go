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

// Limits of a server. Requests are small and answered from a local database, so
// they are generous; what matters is that a slow client cannot hold a
// connection for ever.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second // a 1 MiB body on a slow line
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// drainTimeout is what requests in flight get at a stop: below the usual
	// graceful period, so that the components started earlier get their share.
	drainTimeout = 5 * time.Second
)

// Serve listens on addr ("host:port", port 0 for a free one) at once, so that a
// taken port is an error of the start that names the address, and returns the
// component that serves h and the address it listens on. At a stop requests in
// flight are finished for up to 5 s, then cut.
func Serve(name, addr string, h http.Handler) (Component, net.Addr, error) {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return Component{}, nil, fmt.Errorf("%s: cannot listen on %s: %w", name, addr, err)
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	run := func(ctx context.Context) error {
		slog.InfoContext(ctx, "listening", "component", name, "address", listener.Addr().String())
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		select {
		case err := <-ended:
			return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
		case <-ctx.Done():
		}
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		if err := server.Shutdown(drain); err != nil {
			return errors.Join(fmt.Errorf("finish requests in flight: %w", err), server.Close())
		}
		return nil
	}
	return Component{Name: name, Run: run}, listener.Addr(), nil
}
