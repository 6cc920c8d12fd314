// Package app holds the use cases of the notification service. There is one file per event that the
// service reacts to, which turns the event into the input of a mail, and one for the worker that
// sends mails. mail.go decides, and tables.go loads and saves sets of mails. Package reaction defines
// the order of these steps.
//
// # Where the calls are made
//
// The order service is asked before the transaction that records the mail, because the mail consists
// of its answer ([App.AskOnOrderPlaced]). The mail provider is called after the transaction, by a
// worker ([App.SendMails]), as money is returned in payment (docs/adr/0001-*). Then the mail's bytes are
// fixed before the first attempt, so every attempt has the same key and the same mail, even when the
// order has changed in between. A provider that is unavailable delays mails and no partition.
package app

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"eventshop.example/pkg/postgres"
	"eventshop.example/pkg/reaction"
	"eventshop.example/services/notification/internal/db"
	"eventshop.example/services/notification/internal/mailbox"
	"eventshop.example/services/notification/internal/orders"
	"eventshop.example/services/notification/notification"
)

// Config configures an App.
type Config struct {
	Pool       *pgxpool.Pool
	Reads      *pgxpool.Pool // reads for requests use this pool; nil: Pool
	Style      notification.Style
	Orders     *orders.Client
	Mailbox    *mailbox.Client
	Sending    Sending
	Log        *slog.Logger          // nil: slog.Default
	Now        func() time.Time      // nil: time.Now
	Registerer prometheus.Registerer // nil: metrics are counted but not exported
}

// Sending configures the worker that sends mails.
type Sending struct {
	// BackoffBase and BackoffMax bound the wait between attempts, which doubles. Defaults 500 ms and
	// 30 s. The attempts do not end, because a mail is not worth less for being late.
	BackoffBase, BackoffMax time.Duration
	// Lease is how long an attempt belongs to one process. It must exceed the longest attempt, which
	// makes two requests; default 6 s. After a crash, no process repeats the attempt before the lease
	// ends.
	Lease time.Duration
	// Poll is how often the worker looks for due mails without a wake-up, which each new mail gives;
	// default 1 s.
	Poll time.Duration
}

// App holds the use cases. The service creates one App; HTTP, the consumer and the worker use it
// concurrently.
type App struct {
	// Mails applies the inputs from events and from attempts to mails.
	Mails *reaction.Model[db.Mail, Input]

	pool    *pgxpool.Pool
	reads   *pgxpool.Pool
	style   notification.Style
	orders  *orders.Client
	mailbox *mailbox.Client
	sending Sending
	log     *slog.Logger
	now     func() time.Time // UTC, with the precision of events and tables
	metrics metrics
	wake    chan struct{}             // there is a mail to send
	written atomic.Int64              // mails that this process has written, less those that it has claimed
	since   atomic.Pointer[time.Time] // orders from before get no mail; see Begin
}

// New returns an App. [App.Begin] must have succeeded before it handles events.
func New(cfg Config) *App {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &cfg.Sending
	for setting, standard := range map[*time.Duration]time.Duration{
		&s.BackoffBase: 500 * time.Millisecond, &s.BackoffMax: 30 * time.Second, &s.Lease: 6 * time.Second, &s.Poll: time.Second,
	} {
		if *setting <= 0 {
			*setting = standard
		}
	}
	a := &App{
		pool:    cfg.Pool,
		reads:   cmp.Or(cfg.Reads, cfg.Pool),
		style:   cmp.Or(cfg.Style, notification.ByNotification),
		orders:  cfg.Orders,
		mailbox: cfg.Mailbox,
		sending: cfg.Sending,
		log:     cfg.Log,
		now:     func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		metrics: newMetrics(cfg.Registerer),
		wake:    make(chan struct{}, 1),
	}
	a.Mails = &reaction.Model[db.Mail, Input]{Load: load, Look: look, Decide: a.decide, Now: a.now}
	return a
}

// Begin reads since when orders get mails. The topics begin with the first order of the shop, and the
// service may be younger. Begin runs before the first event is handled.
func (a *App) Begin(ctx context.Context) error {
	since, err := db.New(a.pool).Since(ctx)
	if err != nil {
		return postgres.Classify(err)
	}
	a.since.Store(&since)
	a.log.InfoContext(ctx, "orders get mails", "since", since.UTC(), "style", a.style)
	return nil
}

// wakeWorker makes the worker look for due mails at once. It never blocks.
func (a *App) wakeWorker() {
	select {
	case a.wake <- struct{}{}:
	default: // the worker is about to look already
	}
}
