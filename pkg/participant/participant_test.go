package participant_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/participant/participanttest"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/schema/schematest"
)

// world returns a Config with a database, a broker and a registry, for a library that uses them.
func world(t *testing.T) (Config, *schematest.Registry) {
	t.Helper()
	registry := schematest.Start(t)
	db := pgtest.NewSeparate(t, components()...)
	db.Migrate(t)
	return Config{Config: participant.Config{
		Addr: participanttest.Address(t), OperatorAddr: participanttest.Address(t),
		DatabaseURL: db.AppURL, Migrations: postgres.MigrationsWait,
		Brokers: kafkatest.Start(t, topics()...), RegistryURL: registry.URL,
	}}, registry
}

// TestFromEventToEvent: an event comes in, the service's reaction runs once, and the event that it
// emits goes out with the service's source. The first task runs before: it fails at first, by the
// environment's fault, and no record is read until it is done. Operators see the circuit breaker.
// At the stop the worker ends while HTTP and the database still answer.
func TestFromEventToEvent(t *testing.T) {
	t.Parallel()
	cfg, registry := world(t)
	lib := newLibrary(t)
	var tries atomic.Int32
	allowed := make(chan struct{})
	lib.first = func(ctx context.Context) error {
		if tries.Add(1) == 1 {
			return errs.New(errs.Transient, "the delivery is late")
		}
		select {
		case <-allowed:
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	started := make(chan struct{})
	atStop := make(chan participanttest.Answer, 2)
	lib.worker = func(ctx context.Context) error {
		close(started)
		<-ctx.Done()
		atStop <- participanttest.Get(cfg.Addr, "/livez")
		atStop <- participanttest.Get(cfg.Addr, "/readyz")
		_, err := lib.kit.Pools.Work.Exec(context.WithoutCancel(ctx), "SELECT 1")
		return err
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- lib.run(ctx, cfg) }()
	t.Cleanup(stop)

	kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, registry.Codec(catalogue()), BookReturned{Book: "Emma"}))
	kafkatest.Eventually(t, "a second try of the first task", func() bool { return tries.Load() == 2 })
	if a := participanttest.Get(cfg.Addr, "/readyz"); a.Status != http.StatusServiceUnavailable || !strings.Contains(a.Body, `"database":"ok"`) || lib.shelved.Load() != 0 {
		t.Errorf("before the first task is done: %d books shelved, %+v", lib.shelved.Load(), a)
	}
	close(allowed)
	kafkatest.Eventually(t, "readiness", func() bool { return participanttest.Get(cfg.Addr, "/readyz").Status == http.StatusOK })
	kafkatest.Eventually(t, "the event", func() bool { return len(kafkatest.ReadAll(t, cfg.Brokers, shelfTopic)) == 1 })
	prefixed := 0
	for line := range strings.Lines(participanttest.Get(cfg.Addr, "/metrics").Body) {
		name, ok := strings.CutPrefix(line, "# TYPE ")
		family, _, _ := strings.Cut(name, "_")
		switch {
		case ok && family == "library":
			prefixed++
		case ok && !slices.Contains([]string{"go", "process", "promhttp", "http"}, family):
			t.Errorf("without the service's prefix: %s", name)
		}
	}
	if prefixed < 30 { // codec, outbox, relay, consumer, retries, database, upkeep and breaker have more
		t.Errorf("only %d metrics have the service's prefix", prefixed)
	}
	envelope := kafkatest.Envelope(t, kafkatest.ReadAll(t, cfg.Brokers, shelfTopic)[0])
	if envelope.Source != librarySays || envelope.Type != "BookShelved" || envelope.Subject != "Emma" || lib.shelved.Load() != 1 {
		t.Errorf("published: %+v after %d reactions", envelope, lib.shelved.Load())
	}
	if a := participanttest.Get(cfg.Addr, "/books"); a.Status != http.StatusNoContent {
		t.Errorf("the API answers %+v", a)
	}
	if a := participanttest.Get(cfg.OperatorAddr, "/breakers"); a.Status != http.StatusOK || !strings.Contains(a.Body, `"printer"`) {
		t.Errorf("operators see the breakers %+v", a)
	}
	<-started
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the service ended with: %v", err)
	}
	if a := <-atStop; a.Status != http.StatusOK {
		t.Errorf("/livez while the worker stops: %+v", a)
	}
	if a := <-atStop; a.Status != http.StatusServiceUnavailable || !strings.Contains(a.Body, "stopping") {
		t.Errorf("/readyz while the worker stops: %+v", a)
	}
	if a := participanttest.Get(cfg.Addr, "/livez"); a.Status != 0 {
		t.Errorf("after the stop: %+v", a)
	}
}

// TestFirstThatFails: a first task that fails permanently ends the service with its name, and no
// record is read.
func TestFirstThatFails(t *testing.T) {
	t.Parallel()
	cfg, registry := world(t)
	lib := newLibrary(t)
	wrong := errors.New("a book without a title")
	lib.first = func(context.Context) error { return errs.Wrap(errs.Invalid, wrong, "first books") }
	kafkatest.Produce(t, cfg.Brokers, kafkatest.Record(t, registry.Codec(catalogue()), BookReturned{Book: "Emma"}))
	if err := lib.run(t.Context(), cfg); !errors.Is(err, wrong) || !strings.HasPrefix(err.Error(), "first books: ") {
		t.Errorf("the service ended with: %v", err)
	}
	if n := lib.shelved.Load(); n != 0 {
		t.Errorf("%d books were shelved", n)
	}
}

// TestEverythingDown: no worker runs without its tables.
func TestEverythingDown(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.worker = func(context.Context) error { return errors.New("the worker runs without tables") }
	participanttest.EverythingDown(t, "/books", func(ctx context.Context, cfg participant.Config) error {
		return lib.run(ctx, Config{Config: cfg})
	})
}

// TestTakenPort: a port on which another program listens is an error of the start.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	cfg := Config{Config: participant.Config{
		Addr: participanttest.Address(t), DatabaseURL: "postgres://nobody@" + participanttest.Nowhere + "/none",
		Brokers: []string{participanttest.Nowhere}, RegistryURL: "http://" + participanttest.Nowhere,
	}}
	participanttest.Start(t, func(ctx context.Context) error { return newLibrary(t).run(ctx, cfg) })
	kafkatest.Eventually(t, "an answer", func() bool { return participanttest.Get(cfg.Addr, "/livez").Status == http.StatusOK })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := newLibrary(t).run(ctx, cfg); err == nil || !strings.Contains(err.Error(), cfg.Addr) {
		t.Errorf("the second process ended with: %v", err)
	}
}

// TestBuildThatFails: an error of Build is an error of the start.
func TestBuildThatFails(t *testing.T) {
	t.Parallel()
	wrong := errors.New("no shelf")
	err := participant.Run(t.Context(), participant.Config{
		Addr: participanttest.Address(t), DatabaseURL: "postgres://nobody@" + participanttest.Nowhere + "/none",
		Brokers: []string{participanttest.Nowhere}, RegistryURL: "http://" + participanttest.Nowhere,
	}, participant.Spec{Name: group, Source: librarySays, Build: func(*participant.Kit) (participant.Parts, error) {
		return participant.Parts{}, wrong
	}})
	if !errors.Is(err, wrong) {
		t.Errorf("the service ended with: %v", err)
	}
}
