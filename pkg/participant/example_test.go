package participant_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/schema"
	"eventshop.example/pkg/schema/schematest"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// stateless is the set of states of a reaction that keeps none.
type stateless struct{}

func (stateless) Get(string) struct{}                { return struct{}{} }
func (stateless) Put(string, struct{})               {}
func (stateless) Save(context.Context, pgx.Tx) error { return nil }

// shelve is the service of a library: a book that was returned is put back on its shelf. The Spec
// says what is special about it. Pools, codec, outbox, relay, consumer, upkeep, probes and metrics
// are what every participant has.
func shelve() participant.Spec {
	types := catalogue()
	return participant.Spec{
		Name: group, Source: librarySays, MetricsPrefix: "library_",
		Components: participant.Components(),
		Types:      types, Emits: []event.Type{event.TypeOf[BookShelved](types)},
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			m := &reaction.Model[struct{}, string]{
				Outbox: kit.Outbox,
				Load: func(context.Context, pgx.Tx, []reaction.Step[string]) (reaction.Set[struct{}], error) {
					return stateless{}, nil
				},
				Decide: func(_ struct{}, s reaction.Step[string]) (reaction.Decision[struct{}], error) {
					shelved := outbox.Entry{Event: BookShelved{Book: s.Input}, Version: 1, Cause: s.Cause}
					return reaction.Decision[struct{}]{Events: []outbox.Entry{shelved}}, nil
				},
			}
			return participant.Parts{
				Subscriptions: []consumer.Subscription{
					consumer.On(m, func(e consumer.Event[BookReturned]) string { return e.Data.Book }).
						Emits(event.TypeOf[BookShelved](types)),
				},
				Handler: http.NotFoundHandler(), // of the API
			}, nil
		},
	}
}

// returned is a record of the library's desk, as its own service sends it.
func returned(ctx context.Context, registryURL, book string) *kgo.Record {
	value, err := schema.NewCodec(schema.NewClient(registryURL), catalogue()).Encode(ctx, BookReturned{Book: book})
	check(err)
	r := &kgo.Record{Topic: deskTopic, Key: []byte(book), Value: value}
	envelope := event.Envelope{
		ID: uuid.Must(uuid.NewV7()), Source: "/library/desk", Type: "BookReturned", Subject: book,
		AggregateVersion: 1, Time: time.Now(), ContentType: event.ContentTypeAvro,
	}
	for _, h := range envelope.Headers() {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return r
}

// check ends an example that cannot go on.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// The service runs on an empty database, which it migrates, and on a broker and a registry. An event
// comes in, and the event that follows from it goes out.
func ExampleRun() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	pool, drop, err := pgtest.ExampleDB(ctx)
	check(err)
	defer drop()
	var names []string
	for _, t := range topics() {
		names = append(names, t.Name)
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(event.Partitions, names...))
	check(err)
	defer broker.Close()
	registry, closeRegistry := schematest.New()
	defer closeRegistry()

	ended := make(chan error, 1)
	go func() {
		ended <- participant.Run(ctx, participant.Config{
			Addr: "127.0.0.1:0", DatabaseURL: pool.Config().ConnString(),
			Brokers: broker.ListenAddrs(), RegistryURL: registry.URL,
		}, shelve())
	}()

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.ListenAddrs()...), kgo.ConsumeTopics(shelfTopic))
	check(err)
	defer client.Close()
	check(client.ProduceSync(ctx, returned(ctx, registry.URL, "Emma")).FirstErr())
	for _, r := range client.PollRecords(ctx, 1).Records() {
		fmt.Println(r.Topic, string(r.Key))
	}
	stop()
	fmt.Println("ended:", <-ended)
	// Output:
	// shelf.events Emma
	// ended: <nil>
}
