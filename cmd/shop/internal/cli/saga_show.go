package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/saga"
	"eventshop.example/ops/story"
	"eventshop.example/ops/verify"
	"eventshop.example/pkg/event"
)

func sagaShowCommand(o *operator) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ORDER",
		Short: "One order's saga as a sequence: messages, states, what it waits for, what comes next",
		Long: `Shows the messages of an order's saga in their order, each with its sender and the services
that act on it. Of an orchestrated saga these are commands and their answers, with the states of
the saga and the lines of its log that no event led to: a time limit, an operator. Of a
choreographed saga they are the services' events. Then what the saga waits for, and what
comes next while all goes well.

ORDER is an order's id, its beginning (8 characters at least) where only one order has it, or
the Idempotency-Key of a request that placed it within the last 24 hours.

shop order ORDER shows more of the order: money, stock, parcel, failures.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := o.known()
			if err != nil {
				return err
			}
			p := term.Start(o.errOut, "looking for the order", 0)
			defer p.Stop()
			id, err := story.Find(cmd.Context(), s.File().DSN["order"], args[0])
			if err != nil {
				return err
			}
			sources, err := o.stories(s)
			if err != nil {
				return err
			}
			p.Note("asking topics, databases and services about the order")
			reader := story.New(sources, id)
			defer reader.Close()
			read, err := reader.Read(cmd.Context())
			if err != nil {
				return err
			}
			next, err := next(cmd.Context(), sources.Sagas, read)
			p.Stop()
			if err != nil {
				read.Missing = append(read.Missing, err.Error())
			}
			if err := o.printSaga(read, next); err != nil {
				return err
			}
			return unanswered(missingFrom(read))
		},
	}
	o.addJSON(cmd)
	return cmd
}

// next returns the steps after what the saga waits for.
func next(ctx context.Context, shop *saga.Shop, s story.Story) ([]string, error) {
	if s.Saga == nil {
		return s.Next(nil), nil
	}
	all, err := shop.Definitions(ctx)
	if err != nil {
		err = fmt.Errorf("orchestrator cannot be asked for the steps: %w", err)
	}
	return s.Next(all), err
}

// acting returns the services of the saga that handle an event type of a style.
func acting(typ, style string) []string { return verify.Acting(typ, event.Style(style)) }

func (o *operator) printSaga(s story.Story, next []string) error {
	messages := s.Sequence(acting)
	if o.asJSON {
		type message struct {
			Event *story.Event  `json:"event,omitempty"`
			To    []string      `json:"to,omitempty"`
			Line  *saga.LogLine `json:"line,omitempty"`
		}
		list := []message{}
		for _, m := range messages {
			item := message{To: m.To, Line: m.Line}
			if m.Event.N > 0 {
				item.Event = &m.Event
			}
			list = append(list, item)
		}
		return printJSON(o.out, struct {
			OrderID  string            `json:"orderId"`
			Style    string            `json:"style"`
			Saga     *saga.Coordinated `json:"saga,omitempty"`
			Messages []message         `json:"messages"`
			WaitsFor []story.Wait      `json:"waitsFor"`
			HeldBy   []saga.Hold       `json:"heldBy"`
			Next     []string          `json:"next"`
			Missing  []string          `json:"missing,omitempty"`
		}{s.OrderID, s.Style, s.Saga, list, s.WaitsFor, s.HeldBy, append([]string{}, next...), s.Missing})
	}
	began := o.printHeading(s)
	if c := s.Saga; c != nil {
		text := fmt.Sprintf("saga %s, definition %d", harmless(c.State, 40), c.Definition)
		if c.Step != "" {
			text += fmt.Sprintf(", step %s, command sent %s", harmless(c.Step, 40), plural(c.Attempt, "time", "times"))
		}
		if c.Reason != "" {
			text += ", turned back because of " + harmless(c.Reason, 60) + detail(c.Detail)
		}
		fmt.Fprintln(o.out, text)
	}
	fmt.Fprintln(o.out)
	var rows [][]string
	for _, m := range messages {
		rows = append(rows, messageRow(m, began))
	}
	heading := "N TIME FROM MESSAGE TO SAGA NOTE"
	if len(rows) == 0 {
		fmt.Fprintln(o.out, "no events")
	} else if err := table(o.out, heading, rows); err != nil {
		return err
	}
	fmt.Fprintln(o.out)
	return o.printEnd(s, next)
}

// printEnd prints what the saga waits for and what follows.
func (o *operator) printEnd(s story.Story, next []string) error {
	s.HeldBy = slices.DeleteFunc(slices.Clone(s.HeldBy), func(h saga.Hold) bool { // said below, in full
		return h.Kind == saga.Asks && h.Group == story.Orchestrator
	})
	if err := o.printSentences(s); err != nil {
		return err
	}
	var rows [][]string
	if c := s.Saga; c != nil {
		switch {
		case c.DueAt == nil:
		case c.DueAt.After(s.At):
			rows = append(rows, []string{"the answer is late " + until(*c.DueAt, s.At)})
		default:
			rows = append(rows, []string{"the answer is late since " + span(s.At.Sub(*c.DueAt))})
		}
		if c.Attention != "" {
			rows = append(rows, []string{"needs attention: " + harmless(c.Attention, 500)})
		}
	}
	if len(next) > 0 {
		var steps []string
		for _, n := range next {
			steps = append(steps, harmless(n, 80))
		}
		rows = append(rows, []string{"then: " + strings.Join(steps, ", ")})
	}
	return term.Columns(o.out, []string{""}, rows)
}

// messageRow returns a message's row: number, time, sender, type, receivers, states of the saga, note.
func messageRow(m story.Message, began time.Time) []string {
	states, notes := "", []string{}
	if l := m.Line; l != nil {
		states = harmless(l.From, 20) + " → " + harmless(l.To, 20)
		if l.From == l.To {
			states = harmless(l.To, 20) + " (" + harmless(l.Action, 20) + ")"
		}
		if l.Detail != "" && (m.Event.N == 0 || l.From == l.To) { // of a step forward or back, the event says it
			notes = append(notes, harmless(l.Detail, 120))
		}
	}
	if m.Event.N == 0 {
		return []string{"-", moment(m.Line.At, began), "-", harmless(m.Line.Input, 40), "-", states, strings.Join(notes, "; ")}
	}
	to := "-"
	if len(m.To) > 0 {
		to = "→ " + strings.Join(m.To, ", ")
	}
	e := m.Event
	if !e.Published {
		notes = append(notes, "not published yet")
	}
	notes = append(notes, said(e)...)
	return []string{strconv.Itoa(e.N), moment(e.At, began), harmless(e.Service, 20), harmless(e.Type, 40), to, states, strings.Join(notes, "; ")}
}
