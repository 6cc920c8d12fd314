package stack_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/local/broker"
	"eventshop.example/local/registry"
	"eventshop.example/local/stack"
	"eventshop.example/pkg/postgres/server"
)

// The test binary plays every process of the stack. Under the name of a service or of the sandbox
// it is a small program that returns its environment; with the argument "serve" it is the real
// broker and the real registry.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch name := filepath.Base(os.Args[0]); {
	case len(os.Args) == 7 && os.Args[1] == "serve":
		err = serve(ctx, os.Args[2], os.Args[4], os.Args[6])
	case slices.Contains(stack.Processes(), name):
		err = play(ctx, name)
	default:
		stop()
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, name, port, data string) error {
	if name == stack.Broker {
		var n int
		if _, err := fmt.Sscan(port, &n); err != nil {
			return err
		}
		return broker.Run(ctx, broker.Config{Port: n, DataDir: data})
	}
	return registry.Run(ctx, registry.Config{Addr: "127.0.0.1:" + port, DataDir: data})
}

// play is a minimal service. It is ready when it reaches its database.
func play(ctx context.Context, name string) error {
	if os.Getenv("FAIL") != "" {
		return errors.New("told to fail: " + os.Getenv("FAIL"))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		url := os.Getenv("DATABASE_URL")
		if url == "" {
			return // the sandbox has none
		}
		conn, err := pgx.Connect(r.Context(), url)
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			json.NewEncoder(w).Encode(map[string]any{"checks": map[string]string{"database": err.Error()}})
			return
		}
		conn.Close(r.Context())
	})
	mux.HandleFunc("GET /env", func(w http.ResponseWriter, r *http.Request) {
		env := map[string]string{"NAME": name}
		for _, kv := range os.Environ() {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		json.NewEncoder(w).Encode(env)
	})
	web := &http.Server{Addr: os.Getenv("ADDR"), Handler: mux}
	go func() {
		<-ctx.Done()
		web.Close()
	}()
	if err := web.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// output collects the stack's messages; it is safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// newStack returns a stack whose programs are this test binary. After the test it is down,
// including everything that was started through other values for the same folder.
func newStack(t *testing.T) (*stack.Stack, *output) {
	t.Helper()
	if _, err := server.FindBinaries(t.Context()); errors.Is(err, server.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stack.Processes() {
		if err := os.Symlink(self, filepath.Join(dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		s, _ := open(t, dir)
		if err := s.Down(context.Background()); err != nil {
			t.Errorf("down: %v", err)
		}
		if err := s.Wipe(); err != nil { // the databases may be outside the folder
			t.Errorf("wipe: %v", err)
		}
	})
	return open(t, dir)
}

// open reads the stack of a folder, as each shop command does.
func open(t *testing.T, dir string) (*stack.Stack, *output) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := new(output)
	s, err := stack.Open(dir, dir, self, out)
	if err != nil {
		t.Fatal(err)
	}
	return s, out
}

func up(t *testing.T, s *stack.Stack, o stack.Options) {
	t.Helper()
	o.SkipBuild, o.AutoPorts = true, true
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Up(ctx, o); err != nil {
		t.Fatal(err)
	}
}

// envOf reads the environment of a played service.
func envOf(t *testing.T, s *stack.Stack, name string) map[string]string {
	t.Helper()
	res, err := http.Get(s.File().URL[name] + "/env")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var env map[string]string
	if err := json.NewDecoder(res.Body).Decode(&env); err != nil {
		t.Fatal(err)
	}
	return env
}

// exec runs SQL in a service's database.
func exec(t *testing.T, s *stack.Stack, service, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.File().DSN[service])
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
