package stack

import (
	"context"
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
	"eventshop.example/local/process"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/kafka"
)

// Options are what Up can be told.
type Options struct {
	Ports     map[string]int               // as DefaultPorts names them
	AutoPorts bool                         // free ones for what is not given
	Postgres  postgres.Source              // where the database server comes from; "" is as last time
	Env       map[string]map[string]string // by process; a service's go to all its replicas
	Kafka     KafkaSource                  // which broker; "" is as last time
	Security  kafka.Security               // of a cluster of somebody else's; none is as last time
	Compose   bool                         // containers; false is as last time
	Capture   bool                         // Kafka Connect, and Debezium relays; false is as last time
	Images    bool                         // the containers' images are built first
	SkipBuild bool                         // the programs in the state folder are right
}

// Up builds what has changed and starts what does not run. It returns when every
// service is ready. When ctx ends first, what it started is stopped again; on
// another error that stays, to be looked at, until Down.
func (s *Stack) Up(ctx context.Context, o Options) (err error) {
	began := time.Now()
	release, err := s.exclusive(ctx)
	if err != nil {
		return err
	}
	defer release()
	if err := s.settleCompose(ctx, o); err != nil {
		return err
	}
	if err := s.settleKafka(o.Kafka, o.Security); err != nil {
		return err
	}
	if err := s.settleCapture(o.Capture); err != nil {
		return err
	}
	running, err := s.Running()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = errors.Join(err, s.stopAll(context.WithoutCancel(ctx), running))
		}
	}()
	if s.Known() && len(running) == len(s.expected()) {
		if err := s.nothingFrozen(); err != nil {
			return err
		}
		fmt.Fprintf(s.Out, "the shop is up already (%d processes, state in %s)\n", len(running), s.State)
		// A broker that lost its data has lost its topics.
		if err := broker.CreateTopics(ctx, s.file.Cluster(), Topics()...); err != nil {
			return err
		}
		return s.capture(ctx)
	}
	if err := s.settle(o, running); err != nil {
		return err
	}
	if err := s.checkFree(running); err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	if s.file.Compose {
		if err := s.upContainers(ctx, o.Images); err != nil {
			return err
		}
		if err := s.capture(ctx); err != nil {
			return err
		}
		s.step(began, "the shop is open")
		return nil
	}
	// Building is the long part, and the database can be made beside it.
	var wg sync.WaitGroup
	var buildErr, baseErr error
	wg.Go(func() {
		if !o.SkipBuild {
			buildErr = s.build(ctx)
		}
	})
	baseErr = s.base(ctx)
	wg.Wait()
	if err := errors.Join(buildErr, baseErr); err != nil {
		return err
	}
	if err := s.save(); err != nil {
		return err
	}
	if err := s.startAll(ctx, append([]string{Gateway, Carrier}, s.services()...)); err != nil {
		return err
	}
	if err := s.capture(ctx); err != nil {
		return err
	}
	s.step(began, "the shop is open")
	return nil
}

func (s *Stack) nothingFrozen() error {
	all, err := s.Status()
	if err != nil {
		return err
	}
	for _, name := range s.expected() {
		if all[name].State == process.Paused {
			return fmt.Errorf("%s is frozen; thaw it with `shop resume %s`", name, name)
		}
	}
	return nil
}

// settle decides ports, addresses and settings.
func (s *Stack) settle(o Options, running map[string]int) error {
	ports, err := s.ports(o.Ports, o.AutoPorts, running)
	if err != nil {
		return err
	}
	s.listen(ports)
	f := &s.file
	if f.Env == nil {
		f.Env = map[string]map[string]string{}
	}
	for name, vars := range o.Env {
		if !slices.Contains(s.Processes(), name) {
			return fmt.Errorf("--env: there is no process %q", name)
		}
		if f.Env[name] == nil {
			f.Env[name] = map[string]string{}
		}
		maps.Copy(f.Env[name], vars)
	}
	if o.Postgres != "" {
		f.Source = o.Postgres
	}
	if f.Source == "" {
		f.Source = postgres.Auto
	}
	return nil
}

// base starts database, broker and registry, side by side.
func (s *Stack) base(ctx context.Context) error {
	var wg sync.WaitGroup
	var dbErr, brokerErr, registryErr error
	wg.Go(func() { dbErr = s.database(ctx) })
	wg.Go(func() {
		if brokerErr = s.kafka(ctx); brokerErr == nil && s.file.Capture {
			brokerErr = s.startConnect(ctx)
		}
	})
	wg.Go(func() { registryErr = s.startAll(ctx, []string{Registry}) })
	wg.Wait()
	return errors.Join(dbErr, brokerErr, registryErr)
}

func (s *Stack) database(ctx context.Context) error {
	f := &s.file
	cluster, err := postgres.OpenCluster(s.postgresDir())
	if err != nil {
		return err
	}
	if f.Source.External() {
		f.Admin = string(f.Source)
	} else {
		if cluster.Closed != "" {
			fmt.Fprintf(s.Out, "the database's files go to %s: its server's user cannot enter %s\n", cluster.Dir, cluster.Closed)
		}
		say := func(what string) { fmt.Fprintln(s.Out, what) }
		if f.PostgresBin, err = postgres.Binaries(ctx, f.Source, DownloadCommand(s.Self), say); err != nil {
			return err
		}
		if err := cluster.Init(ctx, f.PostgresBin); err != nil {
			return err
		}
		if f.Admin, err = cluster.AdminURL(f.Ports[Postgres]); err != nil {
			return err
		}
		if err := s.startAll(ctx, []string{Postgres}); err != nil {
			return err
		}
	}
	f.DSN, err = cluster.Provision(ctx, f.Admin, !f.Source.External(), Services()...)
	return err
}

func (s *Stack) postgresDir() string { return filepath.Join(s.State, Postgres) }

// DownloadCommand is how this program is called to do the download of server
// binaries under another user; the cache folder follows.
func DownloadCommand(self string) []string { return []string{self, "serve", "postgres-download"} }

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
	// Without symbol tables linking takes half the time; a panic's stack keeps its
	// names. Without cgo a program is one static file and takes some 2 MB less.
	args := []string{"build", "-ldflags=-s -w", "-o", filepath.Join(s.State, "bin") + "/"}
	cmd := exec.CommandContext(ctx, "go", append(args, pkgs...)...)
	cmd.Dir, cmd.Env = s.Root, append(os.Environ(), "CGO_ENABLED=0")
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

// Topics lists every topic of the shop: the catalogue's, and the retry and the
// dead-letter topic of each group for each topic it may read.
func Topics() []events.Topic {
	topics := events.Topics()
	for _, t := range events.Topics() {
		for _, group := range Services() {
			topics = append(topics, events.RetryTopic(t.Name, group), events.DeadLetterTopic(t.Name, group))
		}
	}
	return topics
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
