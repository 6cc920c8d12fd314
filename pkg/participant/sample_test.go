package participant_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/consumer"
	"eventshop.example/pkg/event"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/pkg/service"
)

// The tests run a library's service: a returned book is put back on its shelf.

type BookReturned struct {
	Book string `avro:"book"`
}

func (BookReturned) EventType() string { return "BookReturned" }
func (BookReturned) AvroSchema() string {
	return `{"name":"library.v1.BookReturned","type":"record","fields":[{"name":"book","type":"string"}]}`
}
func (e BookReturned) AggregateKey() string { return e.Book }

type BookShelved struct {
	Book string `avro:"book"`
}

func (BookShelved) EventType() string { return "BookShelved" }
func (BookShelved) AvroSchema() string {
	return `{"name":"library.v1.BookShelved","type":"record","fields":[{"name":"book","type":"string"}]}`
}
func (e BookShelved) AggregateKey() string { return e.Book }

const (
	group       = "shelves"
	deskTopic   = "desk.events"
	shelfTopic  = "shelf.events"
	librarySays = "/library/shelves"
)

func catalogue() event.Catalogue {
	return event.NewCatalogue(
		event.Describe[BookReturned](event.Family{Topic: deskTopic, AggregateType: "Book", Namespace: "library.v1"}),
		event.Describe[BookShelved](event.Family{Topic: shelfTopic, AggregateType: "Book", Namespace: "library.v1"}),
	)
}

func topics() []event.Topic {
	return []event.Topic{
		event.NewTopic(deskTopic, nil), event.NewTopic(shelfTopic, nil),
		event.RetryTopic(deskTopic, group), event.DeadLetterTopic(deskTopic, group),
	}
}

// Config is the library's: it has one setting of its own and a circuit breaker.
type Config struct {
	participant.Config
	LoanFor time.Duration
	Breaker participant.Breaker
}

func (c *Config) Settings() []service.Setting {
	own := append(c.Config.Settings(), service.Duration("LOAN_FOR", &c.LoanFor, 28*24*time.Hour, "until a book is due"))
	return append(own, c.Breaker.Settings("PRINTER_BREAKER")...)
}

func components() []postgres.Component {
	return participant.Components(
		httpapi.IdempotencyComponent(),
		postgres.Component{
			Name: "shelves", FS: fstest.MapFS{"1_shelves.sql": {Data: []byte("-- +goose Up\nCREATE TABLE shelved (book text PRIMARY KEY);\n")}},
			Grants: []postgres.Grant{{Table: "shelved", App: "SELECT, INSERT"}},
		},
	)
}

// library is a service whose parts a test observes.
type library struct {
	catalogue event.Catalogue
	shelved   atomic.Int32 // how often the reaction ran
	kit       *participant.Kit
	first     func(context.Context) error
	worker    func(context.Context) error
}

func newLibrary(*testing.T) *library {
	return &library{catalogue: catalogue(), worker: func(ctx context.Context) error { <-ctx.Done(); return nil }}
}

func (l *library) run(ctx context.Context, cfg Config) error {
	return participant.Run(ctx, cfg.Config, participant.Spec{
		Name: group, Source: librarySays, MetricsPrefix: "library_", Components: components(),
		Types: l.catalogue, Emits: []event.Type{event.TypeOf[BookShelved](l.catalogue)},
		Build: func(kit *participant.Kit) (participant.Parts, error) {
			l.kit = kit
			kit.Breaker("printer", cfg.Breaker)
			parts := participant.Parts{
				Subscriptions: []consumer.Subscription{
					consumer.On(l.books(kit.Outbox), func(e consumer.Event[BookReturned]) BookReturned { return e.Data }).Emits(event.TypeOf[BookShelved](l.catalogue)),
				},
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }),
				Workers: []service.Component{{Name: "worker", Run: l.worker}},
			}
			if l.first != nil {
				parts.First = service.Component{Name: "first books", Run: l.first}
			}
			return parts, nil
		},
	})
}

// books is the model of the shelves. Its state is whether a book is there.
func (l *library) books(out *outbox.Outbox) *reaction.Model[bool, BookReturned] {
	return &reaction.Model[bool, BookReturned]{
		Outbox: out,
		Load: func(context.Context, pgx.Tx, []reaction.Step[BookReturned]) (reaction.Set[bool], error) {
			return &shelves{}, nil
		},
		Decide: func(_ bool, s reaction.Step[BookReturned]) (reaction.Decision[bool], error) {
			l.shelved.Add(1)
			return reaction.Decision[bool]{State: true, Changed: true,
				Events: []outbox.Entry{{Event: BookShelved(s.Input), Version: 1, Cause: s.Cause}}}, nil
		},
	}
}

// shelves is a set of books that are new on their shelves.
type shelves struct{ books []string }

func (s *shelves) Get(string) bool         { return false }
func (s *shelves) Put(book string, _ bool) { s.books = append(s.books, book) }

func (s *shelves) Save(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `INSERT INTO shelved (book) SELECT unnest($1::text[])`, s.books)
	return err
}
