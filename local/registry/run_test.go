package registry_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"eventshop.example/local/registry"
)

func TestRunServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	for range 2 { // the second time on the same port and folder
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- registry.Run(ctx, registry.Config{Addr: addr, DataDir: dir}) }()
		awaitReady(t, addr, ended)
		s := &server{t: t, url: "http://" + addr}
		if id := s.mustRegister("s", base); id != 1 {
			t.Errorf("id %d, want 1", id)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
}

func TestRunNamesATakenAddress(t *testing.T) {
	t.Parallel()
	addr := listen(t).Addr().String()
	dir := t.TempDir()
	err := registry.Run(t.Context(), registry.Config{Addr: addr, DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v", err)
	}
	open(t, dir) // the folder is free again
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func awaitReady(t *testing.T, addr string, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		res, err := http.Get("http://" + addr + "/readyz")
		if err == nil {
			res.Body.Close()
			return
		}
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		case <-ctx.Done():
			t.Fatal("it does not answer")
		}
	}
}
