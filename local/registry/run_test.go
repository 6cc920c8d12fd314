package registry_test

import (
	"bufio"
	"context"
	"io"
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

// TestASlowClientDoesNotMakeTheStopFail: a stopping registry waits neither for half a request nor
// for a client that keeps its connection open.
func TestASlowClientDoesNotMakeTheStopFail(t *testing.T) {
	t.Parallel()
	l := listen(t)
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- registry.Run(ctx, registry.Config{Addr: addr, DataDir: t.TempDir()}) }()
	awaitReady(t, addr, ended)
	var body net.Conn
	for _, text := range []string{
		"",
		"POST /subjects/s/versions HT",
		"POST /subjects/s/versions HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		body = conn
	}
	awaitReady(t, addr, ended) // it has accepted the earlier connections
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the stop failed: %v", err)
	}
	res, err := http.ReadResponse(bufio.NewReader(body), nil)
	if err != nil {
		t.Fatalf("the request with half a body: %v", err)
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), `"error_code":408`) {
		t.Errorf("the request with half a body: %s %s %v", res.Status, text, err)
	}
}
