package app

import (
	"log/slog"
	"testing"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/kafkatest"
	"eventshop.example/services/notification/internal/mailbox/mailboxtest"
	"eventshop.example/services/notification/notification"
)

// written returns an order whose mail is to be sent.
func (f *fixture) written(a *App) string {
	f.t.Helper()
	id := f.newOrder()
	f.must(f.created(a, id))
	f.want(id, notification.ToSend)
	return id
}

// TestAFailedAttemptIsRepeated: the mail stays due with a growing wait, and arrives once.
func TestAFailedAttemptIsRepeated(t *testing.T) {
	f := newFixture(t)
	a := f.process(notification.ByState)
	id := f.written(a)
	f.mailbox.Switch(mailboxtest.Switches{Status: 503})
	for attempt := 1; attempt <= 3; attempt++ {
		f.round(a)
		row := f.want(id, notification.ToSend)
		wait := row.NextAttemptAt.Sub(f.time())
		base := backoffBase << (attempt - 1)
		if int(row.Attempts) != attempt || row.LastError == "" || wait < base || wait > base*5/4 {
			t.Fatalf("after attempt %d: due in %s, %+v", attempt, wait, row)
		}
		if n := f.round(a); n != 0 {
			t.Fatalf("%d mails are due early", n)
		}
		f.advance(wait)
	}
	f.mailbox.Switch(mailboxtest.Switches{})
	f.round(a)
	if row := f.want(id, notification.Sent); row.LastError != "" || row.Attempts != 4 || row.EndedAt == nil {
		t.Errorf("%+v", row)
	}
	f.wantMail(id)
}

// TestALostAnswer: the mail arrived and its answer did not. It is looked up by key.
func TestALostAnswer(t *testing.T) {
	f := newFixture(t)
	a := f.process(notification.ByState)
	id := f.written(a)
	f.mailbox.Switch(mailboxtest.Switches{AnswerLost: 1, NoLookup: true})
	f.round(a)
	f.want(id, notification.ToSend)
	f.mailbox.Switch(mailboxtest.Switches{})
	f.advance(time.Minute)
	f.round(a)
	f.want(id, notification.Sent)
	f.wantMail(id)
}

func TestARefusal(t *testing.T) {
	f := newFixture(t)
	a := f.process(notification.ByState)
	id := f.written(a)
	f.mailbox.Switch(mailboxtest.Switches{Refuse: "no_such_mailbox"})
	f.round(a)
	if row := f.want(id, notification.Refused); row.Reason != "no_such_mailbox" || row.NextAttemptAt != nil {
		t.Errorf("%+v", row)
	}
	f.must(f.placed(a, id))
	f.advance(time.Hour)
	if n := f.round(a); n != 0 {
		t.Errorf("a refused mail is due again")
	}
	f.wantMail()
}

// TestALeaseBelongsToOneProcess: another process leaves a claimed mail alone until the lease ends,
// and then repeats the attempt of a process that died. A result that comes late changes nothing.
func TestALeaseBelongsToOneProcess(t *testing.T) {
	f := newFixture(t)
	dead, other := f.process(notification.ByState), f.process(notification.ByState)
	id := f.written(dead)
	claimed, err := dead.claim(t.Context())
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	f.advance(lease - time.Second)
	if n := f.round(other); n != 0 {
		t.Fatalf("%d mails were claimed twice", n)
	}
	f.advance(time.Second)
	f.round(other)
	sent := f.want(id, notification.Sent)
	f.must(f.apply(dead, id, Input{Kind: notification.SendFailed, Wait: time.Second, Error: "late"}, id))
	f.must(f.apply(dead, id, Input{Kind: notification.MailAccepted}, id))
	if row := f.row(id); row.State != sent.State || !row.UpdatedAt.Equal(sent.UpdatedAt) || row.NextAttemptAt != nil {
		t.Errorf("a late result changed %+v to %+v", sent, row)
	}
	f.wantMail(id)
}

// TestAClockThatWasAhead: an attempt that a wrong clock put far into the future is due.
func TestAClockThatWasAhead(t *testing.T) {
	f := newFixture(t)
	a := f.process(notification.ByState)
	id := f.written(a)
	if _, err := f.pool.Exec(t.Context(), `UPDATE mails SET next_attempt_at = now() + interval '1 year'`); err != nil {
		t.Fatal(err)
	}
	f.round(a)
	f.want(id, notification.Sent)
}

// TestAnOutageDoesNotWriteRows: while the breaker is open, no mail is claimed.
func TestAnOutageDoesNotWriteRows(t *testing.T) {
	f := newFixture(t)
	a := f.processBehind(notification.ByState, breaker.New(breaker.Config{
		Name: "mailbox", Failures: 1, OpenFor: time.Hour, Logger: slog.New(slog.DiscardHandler),
	}))
	id := f.written(a)
	f.mailbox.Switch(mailboxtest.Switches{Down: true})
	f.round(a)
	before := f.want(id, notification.ToSend)
	f.advance(time.Hour)
	if n := f.round(a); n != 0 {
		t.Errorf("%d mails were claimed", n)
	}
	if after := f.row(id); after.Attempts != before.Attempts || !after.UpdatedAt.Equal(before.UpdatedAt) {
		t.Errorf("%+v became %+v", before, after)
	}
}

// TestARowThatIsLocked: the worker skips a mail whose row the consumer has locked, and looks again
// soon, long before it would poll.
func TestARowThatIsLocked(t *testing.T) {
	f := newFixture(t)
	a := f.process(notification.ByState)
	a.sending.Poll = time.Hour
	id := f.written(a)
	tx, err := f.pool.Begin(t.Context())
	f.must(err)
	_, err = tx.Exec(t.Context(), `SELECT 1 FROM mails FOR UPDATE`)
	f.must(err)
	a.written.Add(1) // as after the commit
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		for range 3 {
			n, err := a.sendRound(t.Context())
			if err != nil || n != 0 {
				t.Errorf("%d mails, %v, while the row is locked", n, err)
			}
		}
	}()
	<-looked
	f.work(a)
	f.must(tx.Rollback(t.Context()))
	f.await(id, notification.Sent)
	f.wantMail(id)
}

// TestTheWorker sends more mails than one round takes, goes on after an outage, and ends.
func TestTheWorker(t *testing.T) {
	f := newFixture(t)
	a := f.process(notification.ByState)
	f.mailbox.Switch(mailboxtest.Switches{Status: 500})
	var ids []string
	for range 2*mailsAtOnce + 3 {
		ids = append(ids, f.written(a))
	}
	stop := f.work(a)
	for _, id := range ids {
		kafkatest.Eventually(t, "the first attempt", func() bool { return f.row(id).LastError != "" })
	}
	f.mailbox.Switch(mailboxtest.Switches{})
	f.advance(time.Minute)
	for _, id := range ids {
		f.await(id, notification.Sent)
	}
	if got := len(f.mailbox.Arrived()); got != len(ids) {
		t.Errorf("%d mails arrived, want %d", got, len(ids))
	}
	stop()
}
