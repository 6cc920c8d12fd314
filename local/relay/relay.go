// Package relay changes who relays the events of running services: the polling relay in
// each, or Debezium in Kafka Connect.
//
// # What it guarantees
//
// One change of a service's relay goes on at a time; others wait. A change loses no event and reorders no first occurrence, also under writes, also when it
// is cut off at any step: it can be run again from the beginning, as often as needed, and
// ends in the same state. Events are repeated at a change, as they are after a crash.
//
// # How
//
// To Debezium: the replication slot is made while polling goes on. When all that was
// committed before it is published, the connector begins at the slot; when it runs, the
// mode is set. For a moment both relay. Back: the connector is stopped and the slot free,
// then the mode is set, and polling sends what Debezium had not confirmed.
//
// # How it fails
//
// With the step that failed and why. What it waits for that never comes ends with the
// context.
package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/local/connect"
	"eventshop.example/local/topics"
	"eventshop.example/pkg/events"
	"eventshop.example/pkg/outbox"
)

// Service is one whose relay can change.
type Service struct {
	Name      string
	Operators []string // base URLs of its operators' listeners; one that answers will do
	Database  string   // URL by which this program reaches its database, as a role with REPLICATION
	// Connector says how the worker reaches the database; Service and Slot are filled in.
	Connector connect.Connector
}

// Slot is the name of the service's replication slot.
func (s Service) Slot() string { return "eventshop_" + s.Name }

func (s Service) connector(slot string) connect.Connector {
	c := s.Connector
	c.Service, c.Slot = s.Name, slot
	return c
}

// Control changes the relays of services.
type Control struct {
	Connect *connect.Client
	Kafka   *kgo.Client       // makes the heartbeats' topics
	By      string            // who does it, for people
	Say     func(what string) // told each step; nil: nobody
}

func (c Control) say(s Service, format string, args ...any) {
	if c.Say != nil {
		c.Say(s.Name + ": " + fmt.Sprintf(format, args...))
	}
}

// UseDebezium has Debezium relay the service's events. Of a service for which it does
// already it makes the connector what it should be, and runs it.
func (c Control) UseDebezium(ctx context.Context, s Service) error {
	if err := alone(ctx, s.Database, func() error { return c.useDebezium(ctx, s) }); err != nil {
		return fmt.Errorf("have Debezium relay %s: %w", s.Name, err)
	}
	return nil
}

func (c Control) useDebezium(ctx context.Context, s Service) error {
	m, err := s.mode(ctx, 0)
	if err != nil {
		return err
	}
	if m.Lost != "" {
		return fmt.Errorf("%s; recover does what is needed", m.Lost)
	}
	if err := topics.Create(ctx, c.Kafka, []events.Topic{connect.HeartbeatTopic(s.Name)}, 0); err != nil {
		return err
	}
	if m.Mode == outbox.Debezium {
		return c.keepRunning(ctx, s, m.Slot)
	}

	conn := s.connector(s.Slot())
	if err := c.stopped(ctx, conn); err != nil {
		return err
	}
	if err := dropSlot(ctx, s.Database, s.Slot()); err != nil {
		return err
	}
	if err := createSlot(ctx, s.Database, s.Slot()); err != nil {
		return err
	}
	if err := c.begin(ctx, s, conn); err != nil {
		return err
	}
	c.say(s, "slot %s is made", s.Slot())
	if err := c.drained(ctx, s); err != nil {
		return err
	}
	c.say(s, "all of before is published by polling")
	if err := c.Connect.Resume(ctx, conn.Name()); err != nil {
		return err
	}
	if err := c.running(ctx, s, conn); err != nil {
		return err
	}
	if err := s.set(ctx, outbox.Debezium, s.Slot(), c.By); err != nil {
		return err
	}
	c.say(s, "Debezium relays")
	return nil
}

// stopped makes the connector what it should be, stopped.
func (c Control) stopped(ctx context.Context, conn connect.Connector) error {
	err := c.Connect.Stop(ctx, conn.Name())
	if errors.Is(err, connect.ErrNotFound) {
		if err := c.Connect.CreateStopped(ctx, conn.Name(), conn.Settings()); err != nil {
			return err
		}
		return c.Connect.AwaitStopped(ctx, conn.Name())
	}
	if err != nil {
		return err
	}
	return c.Connect.Put(ctx, conn.Name(), conn.Settings())
}

// begin has a stopped connector begin at its slot.
func (c Control) begin(ctx context.Context, s Service, conn connect.Connector) error {
	lsn, err := confirmed(ctx, s.Database, conn.Slot)
	if err != nil {
		return err
	}
	return c.Connect.Begin(ctx, conn, lsn)
}

// keepRunning repairs what somebody may have done to the connector. An unchanged one is
// left alone: a new configuration restarts it.
func (c Control) keepRunning(ctx context.Context, s Service, slot string) error {
	conn := s.connector(slot)
	have, err := c.Connect.Config(ctx, conn.Name())
	if errors.Is(err, connect.ErrNotFound) { // Connect has lost its topics, or somebody deleted it
		if err := c.stopped(ctx, conn); err != nil {
			return err
		}
		if err := c.begin(ctx, s, conn); err != nil {
			return err
		}
		have, err = conn.Settings(), nil
	}
	if err != nil {
		return err
	}
	delete(have, "name") // Connect adds it
	if !maps.Equal(have, conn.Settings()) {
		if err := c.Connect.Put(ctx, conn.Name(), conn.Settings()); err != nil {
			return err
		}
		c.say(s, "the connector has its configuration")
	}
	status, err := c.Connect.Status(ctx, conn.Name())
	switch {
	case err != nil:
	case status.Failure() != "":
		c.say(s, "the connector had failed (%s) and is restarted", status.Failure())
		err = c.Connect.Restart(ctx, conn.Name())
	case status.State == "STOPPED" || status.State == "PAUSED":
		err = c.Connect.Resume(ctx, conn.Name())
	}
	if err != nil {
		return err
	}
	if err := c.running(ctx, s, conn); err != nil {
		return err
	}
	c.say(s, "Debezium relays")
	return nil
}

// running waits until the connector reads its slot.
func (c Control) running(ctx context.Context, s Service, conn connect.Connector) error {
	if err := c.Connect.AwaitRunning(ctx, conn.Name()); err != nil {
		return err
	}
	return awaitSlot(ctx, s.Database, conn.Slot, true)
}

// drained waits until the events that are there now are published.
func (c Control) drained(ctx context.Context, s Service) error {
	m, err := s.mode(ctx, 0)
	if err != nil {
		return err
	}
	upTo := m.Newest
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for upTo > 0 {
		if m, err = s.mode(ctx, upTo); err == nil && m.Waiting == 0 {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d events are not published by polling yet: %w", m.Waiting, errors.Join(ctx.Err(), err))
		}
	}
	return nil
}

// UsePolling has the polling relay send the service's events. Without a client of Connect
// it is up to the caller that no worker runs the connector, nor ever goes on with it.
func (c Control) UsePolling(ctx context.Context, s Service) error {
	if err := alone(ctx, s.Database, func() error { return c.usePolling(ctx, s) }); err != nil {
		return fmt.Errorf("have polling relay %s: %w", s.Name, err)
	}
	return nil
}

func (c Control) usePolling(ctx context.Context, s Service) error {
	name := connect.NameOf(s.Name)
	m, err := s.mode(ctx, 0)
	if err != nil {
		return err
	}
	if c.Connect != nil {
		if err := c.Connect.Stop(ctx, name); err != nil && !errors.Is(err, connect.ErrNotFound) {
			return err
		}
		c.say(s, "the connector is stopped")
	}
	slot := m.Slot
	if slot == "" {
		slot = s.Slot()
	}
	if err := awaitSlot(ctx, s.Database, slot, false); err != nil {
		return err
	}
	if err := s.set(ctx, outbox.Polling, "", c.By); err != nil {
		return err
	}
	c.say(s, "polling relays")
	// It would keep the log for ever.
	if err := dropSlot(ctx, s.Database, slot); err != nil {
		return err
	}
	if c.Connect != nil {
		return c.Connect.Delete(ctx, name)
	}
	return nil
}

// Recover brings a service back to Debezium whose slot is lost: polling sends everything
// that was not confirmed, then Debezium begins anew. It does nothing when nothing is lost.
func (c Control) Recover(ctx context.Context, s Service) error {
	m, err := s.mode(ctx, 0)
	if err != nil {
		return err
	}
	if m.Mode == outbox.Debezium && m.Lost == "" {
		c.say(s, "the slot %s is not lost", m.Slot)
		return nil
	}
	if m.Lost != "" {
		if err := c.UsePolling(ctx, s); err != nil {
			return err
		}
	}
	return c.UseDebezium(ctx, s)
}
