package stack

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"eventshop.example/local/broker"
	"eventshop.example/local/postgres"
	"eventshop.example/pkg/events"
)

// Options are what Up can be told.
type Options struct {
	Ports       map[string]int // by process
	AutoPorts   bool           // free ones for what is not given
	PostgresURL string         // a server to use instead of one of our own
	Download    bool           // use downloaded PostgreSQL binaries even where there are others
	Env         map[string]map[string]string
	SkipBuild   bool // the programs in the state folder are right
}

// Up builds what has changed and starts what does not run. It returns when every
// service is ready. On an error what was started stays, for its logs; Down ends it.
func (s *Stack) Up(ctx context.Context, o Options) error {
	began := time.Now()
	running, err := s.Running()
	if err != nil {
		return err
	}
	if s.Known() && len(running) == len(s.expected()) {
		fmt.Fprintf(s.Out, "the shop is up already (%d processes, state in %s)\n", len(running), s.State)
		return nil
	}
	if err := os.MkdirAll(s.State, 0o755); err != nil {
		return err
	}
	if err := s.settle(o); err != nil {
		return err
	}
	if err := s.checkFree(running); err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	// Building is the long part, and the database can be made beside it.
	var wg sync.WaitGroup
	var buildErr, baseErr error
	wg.Go(func() {
		if !o.SkipBuild {
			buildErr = s.build(ctx)
		}
	})
	baseErr = s.base(ctx, o)
	wg.Wait()
	if err := errors.Join(buildErr, baseErr); err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	if err := s.startAll(ctx, append([]string{Gateway, Carrier}, Services()...)); err != nil {
		return err
	}
	s.step(began, "the shop is open")
	return nil
}

// settle decides ports, addresses and passwords.
func (s *Stack) settle(o Options) error {
	ports, err := s.ports(o.Ports, o.AutoPorts)
	if err != nil {
		return err
	}
	f := &s.file
	f.Ports, f.URL, f.Kafka = ports, map[string]string{}, []string{address(ports[Broker])}
	for name, port := range ports {
		if name != Postgres && name != Broker {
			f.URL[name] = "http://" + address(port)
		}
	}
	if f.Passwords == nil {
		f.Passwords = map[string]string{}
	}
	for _, name := range Services() {
		if f.Passwords[name] == "" {
			f.Passwords[name] = rand.Text()
		}
	}
	if f.Env == nil {
		f.Env = map[string]map[string]string{}
	}
	for name, vars := range o.Env {
		if !slices.Contains(Processes(), name) {
			return fmt.Errorf("--env: there is no process %q", name)
		}
		if f.Env[name] == nil {
			f.Env[name] = map[string]string{}
		}
		maps.Copy(f.Env[name], vars)
	}
	if o.PostgresURL != "" {
		f.External, f.Admin = true, o.PostgresURL
	}
	return nil
}

// base starts database, broker and registry, side by side.
func (s *Stack) base(ctx context.Context, o Options) error {
	var wg sync.WaitGroup
	var dbErr, brokerErr, registryErr error
	wg.Go(func() { dbErr = s.database(ctx, o) })
	wg.Go(func() {
		if brokerErr = s.startAll(ctx, []string{Broker}); brokerErr == nil {
			brokerErr = broker.CreateTopics(ctx, s.file.Kafka, Topics()...)
		}
	})
	wg.Go(func() { registryErr = s.startAll(ctx, []string{Registry}) })
	wg.Wait()
	return errors.Join(dbErr, brokerErr, registryErr)
}

func (s *Stack) database(ctx context.Context, o Options) error {
	f := &s.file
	if !f.External {
		bin, err := postgres.Binaries(ctx, postgres.CacheDir(), s.Self, o.Download, s.Out)
		if err != nil {
			return err
		}
		f.PostgresBin = bin
		if f.PostgresDir == "" {
			// Keyed by the state folder, so that two stacks never meet.
			key := fmt.Sprintf("eventshop-%x", sha256.Sum256([]byte(s.State)))[:24]
			dir, why := postgres.Dir(s.State, filepath.Join("/var/tmp", key))
			if why != "" {
				fmt.Fprintf(s.Out, "the database's files go to %s: %s\n", dir, why)
			}
			f.PostgresDir = dir
		}
		if err := s.server().Init(ctx); err != nil {
			return err
		}
		if f.Admin, err = s.server().AdminURL(); err != nil {
			return err
		}
		if err := s.startAll(ctx, []string{Postgres}); err != nil {
			return err
		}
	}
	dsn, err := postgres.Provision(ctx, f.Admin, f.Passwords)
	if err != nil {
		return err
	}
	f.DSN = dsn
	return nil
}

func (s *Stack) server() postgres.Server {
	return postgres.Server{Bin: s.file.PostgresBin, Dir: s.file.PostgresDir, Port: s.file.Ports[Postgres]}
}

// build compiles every program in one go, so that shared packages are compiled
// once.
func (s *Stack) build(ctx context.Context) error {
	began := time.Now()
	pkgs := []string{"./sandbox/cmd/gateway", "./sandbox/cmd/carrier"}
	for _, name := range Services() {
		pkgs = append(pkgs, "./services/"+name+"/cmd/"+name)
	}
	fmt.Fprintf(s.Out, "building %d programs (the first time takes a minute or so)\n", len(pkgs))
	if err := os.MkdirAll(filepath.Join(s.State, "bin"), 0o755); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-o", filepath.Join(s.State, "bin") + "/"}, pkgs...)...)
	cmd.Dir = s.Root
	stop := s.progress(began, "still building")
	out, err := cmd.CombinedOutput()
	stop()
	if err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	s.step(began, "programs built")
	return nil
}

// progress says every few seconds that something long goes on.
func (s *Stack) progress(began time.Time, what string) (stop func()) {
	tick := time.NewTicker(5 * time.Second)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				s.step(began, what)
			}
		}
	}()
	return func() { tick.Stop(); close(done) }
}

func (s *Stack) step(began time.Time, what string) {
	fmt.Fprintf(s.Out, "%6.1fs  %s\n", time.Since(began).Seconds(), what)
}

// Topics lists every topic of the shop: the catalogue's, and the dead-letter topic
// of each group for each topic it may read.
func Topics() []events.Topic {
	topics := events.Topics()
	for _, t := range events.Topics() {
		for _, group := range Services() {
			topics = append(topics, events.DeadLetterTopic(t.Name, group))
		}
	}
	return topics
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
