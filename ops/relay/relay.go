// Package relay changes which relay publishes the events of running services: the polling relay in
// each service, or Debezium in Kafka Connect.
//
// # What it guarantees
//
// Changes of one service's relay run one at a time; others wait. A change loses no event and does
// not reorder first occurrences, also while the service writes. If a change is interrupted at any
// step, it can be run again from the beginning, as often as needed, and ends in the same state. A
// change repeats events, as a crash does.
//
// # How
//
// To Debezium: the package creates the replication slot while polling continues. When everything
// committed before the slot's position is published, the connector begins at the slot. When the
// connector runs, the package sets the mode. Both relays publish for a moment. To polling: the
// package stops the connector, waits until the slot is free, and sets the mode. Polling then sends
// the events that Debezium had not confirmed.
//
// # How it fails
//
// The error names the step that failed and why. Waiting ends with the context.
package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"eventshop.example/ops/connect"
	"eventshop.example/ops/operators"
	"eventshop.example/ops/topics"
	"eventshop.example/pkg/event"
)

// Service is a service whose relay can change.
type Service struct {
	Name      string
	Operators []string // base URLs of its operators' listeners; one that answers is enough
	Database  string   // URL by which this program reaches its database, as a role with REPLICATION
	// Connector holds the worker's route to the database. This package fills in Service and Slot.
	Connector connect.Connector
}

// Slot returns the name of the service's replication slot.
func (s Service) Slot() string { return "eventshop_" + s.Name }

func (s Service) connector(slot string) connect.Connector {
	c := s.Connector
	c.Service, c.Slot = s.Name, slot
	return c
}

// Control changes the relays of services.
type Control struct {
	Connect *connect.Client
	Kafka   *kgo.Client       // creates the heartbeat topics
	By      string            // the operator's name, for people
	Say     func(what string) // receives each step; may be nil
}

func (c Control) say(s Service, format string, args ...any) {
	if c.Say != nil {
		c.Say(s.Name + ": " + fmt.Sprintf(format, args...))
	}
}

// UseDebezium switches the service to Debezium. If Debezium already relays the service's events, it
// corrects the connector's configuration and runs the connector.
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
	if err := topics.Create(ctx, c.Kafka, []event.Topic{connect.HeartbeatTopic(s.Name)}, 0); err != nil {
		return err
	}
	if m.Mode == operators.Debezium {
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
	if err := s.set(ctx, operators.Debezium, s.Slot(), c.By); err != nil {
		return err
	}
	c.say(s, "Debezium relays")
	return nil
}

// stopped creates or corrects the connector and stops it.
func (c Control) stopped(ctx context.Context, conn connect.Connector) error {
	for {
		exists, err := c.Connect.Halt(ctx, conn.Name())
		if err != nil {
			return err
		}
		if exists {
			return c.Connect.Put(ctx, conn.Name(), conn.Settings())
		}
		err = c.Connect.CreateStopped(ctx, conn.Name(), conn.Settings())
		if errors.Is(err, connect.ErrExists) && ctx.Err() == nil {
			continue // an interrupted attempt's request arrived in between
		}
		if err != nil {
			return err
		}
		return c.Connect.AwaitStopped(ctx, conn.Name())
	}
}

// begin sets the position of a stopped connector to its slot's.
func (c Control) begin(ctx context.Context, s Service, conn connect.Connector) error {
	lsn, err := confirmed(ctx, s.Database, conn.Slot)
	if err != nil {
		return err
	}
	return c.Connect.Begin(ctx, conn, lsn)
}

// keepRunning undoes changes that operators made to the connector. It does not touch an unchanged
// one, because a new configuration restarts the connector.
func (c Control) keepRunning(ctx context.Context, s Service, slot string) error {
	conn := s.connector(slot)
	have, err := c.Connect.Config(ctx, conn.Name())
	if errors.Is(err, connect.ErrNotFound) { // Connect has lost its topics, or an operator deleted the connector
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

// drained waits until the events that are in the outbox now are published.
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

// UsePolling switches the service to the polling relay. Without a client of Connect, the caller
// must make sure that no worker runs the connector now or resumes it later.
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
		if _, err := c.Connect.Halt(ctx, name); err != nil {
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
	if err := s.set(ctx, operators.Polling, "", c.By); err != nil {
		return err
	}
	c.say(s, "polling relays")
	// The slot would keep the log for ever.
	if err := dropSlot(ctx, s.Database, slot); err != nil {
		return err
	}
	if c.Connect != nil {
		return c.Connect.Delete(ctx, name)
	}
	return nil
}

// Recover brings a service whose slot is lost back to Debezium: polling sends every unconfirmed
// event, then Debezium begins with a new slot. It does nothing if the slot is not lost.
func (c Control) Recover(ctx context.Context, s Service) error {
	m, err := s.mode(ctx, 0)
	if err != nil {
		return err
	}
	if m.Mode == operators.Debezium && m.Lost == "" {
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
