package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/local/stack"
	"eventshop.example/ops/eventshop"
	"eventshop.example/ops/story"
	"eventshop.example/pkg/schema"
)

// lookAgain is the polling interval of --follow. A poll asks every service, and users read no
// faster.
const lookAgain = time.Second

func orderCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	follow, then := false, past{}
	cmd := &cobra.Command{
		Use:   "order ID",
		Short: "One order's story: events, causes, money, stock, parcel, what it waits for",
		Long: `Shows every event of one order on all topics: its number, when it happened, the service that
published it, what caused it (← and the number and type of the event, or request, deadline
or carrier), and how long after its cause it came. An effect never stands above its cause;
a delay below zero says that two services' clocks differ. What is in an outbox and on no topic
yet is marked as not published. Then money, stock, parcel, the mail to the customer, records
that failed, and what the order waits for. It shows orders that have ended, too.

ID is an order's id, its beginning (8 characters at least) where only one order has it, or
the Idempotency-Key of a request that placed it within the last 24 hours.

A record under the order's key that is no event of it is shown with what is the matter with it,
and counts for nothing else.

--as-of and --version show the order alone, as the order service folds it from its events up to
then: at a time, or at a version of its stream. --diff lists the fields that differ between two
versions. With --json these print the order service's answer.

--json prints one document with the fields orderId, at, order, ended, events, money, stock,
parcel, mail, retries, deadLetters, waitsFor, heldBy and missing. With --follow it is JSON lines:
{"event": …} for each event as it happens, and {"story": …} at the end. An event that is seen
in an outbox first comes twice, then: with "published": false, and when it is on its topic
with "published": true.`,
		Example: `  shop order 019ac2f4-1f7e-7c31-9a3b-2f1d5e6a7b8c
  shop order 019ac2f4 --follow
  shop order 019ac2f4 --as-of 2026-01-31T12:00:00Z
  shop order 019ac2f4 --diff 3..5
  shop order my-key-17 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			show, err := then.asked(cmd, o)
			if err != nil {
				return err
			}
			s, err := e.known()
			if err != nil {
				return err
			}
			p := term.Start(o.errOut, "looking for the order", 0)
			defer p.Stop()
			file := s.File()
			id, err := story.Find(cmd.Context(), file.DSN["order"], args[0])
			if err != nil {
				return err
			}
			if show != nil {
				p.Stop()
				return show(cmd.Context(), file.URL["order"], id.String())
			}
			sources, err := o.stories(s)
			if err != nil {
				return err
			}
			p.Note("asking topics, databases and services about the order")
			reader := story.New(sources, id)
			defer reader.Close()
			if follow {
				return o.follow(cmd.Context(), reader, p)
			}
			read, err := reader.Read(cmd.Context())
			if err != nil {
				return err
			}
			p.Stop()
			if o.asJSON {
				err = printJSON(o.out, read)
			} else {
				err = o.printStory(read)
			}
			if err != nil {
				return err
			}
			return unanswered(missingFrom(read))
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "print events as they happen, until the order ends")
	then.addTo(cmd)
	o.addJSON(cmd)
	return cmd
}

// stories returns the sources of the stories of this shop's orders.
func (o *operator) stories(s *stack.Stack) (story.Sources, error) {
	f, err := o.fleet()
	if err != nil {
		return story.Sources{}, err
	}
	sagas, err := o.sagas()
	if err != nil {
		return story.Sources{}, err
	}
	file := s.File()
	registries := map[string]*schema.Client{}
	for _, service := range eventshop.Services() {
		r, err := file.RegistryOf(service)
		if err != nil {
			return story.Sources{}, err
		}
		registries[service] = r.Client()
	}
	return story.Sources{
		URL: file.URL, DSN: file.DSN, Kafka: file.Cluster(), Topics: eventshop.Topics(), Registries: registries, Fleet: f, Sagas: sagas,
	}, nil
}

func missingFrom(s story.Story) []error {
	var failed []error
	for _, text := range s.Missing {
		failed = append(failed, errors.New(harmless(text, 0)))
	}
	return failed
}

// follow prints the story, then each new event and each change of what the order waits for. It ends
// when the order has ended and all its events are published, or when ctx ends. looking shows the
// progress of the first read.
func (o *operator) follow(ctx context.Context, reader *story.Reader, looking *term.Progress) error {
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	shown, waits := map[string]bool{}, ""
	var last story.Story
	for first := true; ; first = false {
		read, err := reader.Read(ctx)
		looking.Stop()
		if ctx.Err() != nil {
			return nil // Ctrl-C is the normal end
		}
		if err != nil {
			return err
		}
		if last = read; first && !o.asJSON {
			if err := o.printStory(read); err != nil {
				return err
			}
		}
		if err := o.printNews(read, shown, first); err != nil {
			return err
		}
		before := waits
		if waits = waitKey(read); waits != before && waits != "" && !first && !o.asJSON {
			if err := o.printSentences(read); err != nil {
				return err
			}
		}
		if finished(read) {
			if !first && !o.asJSON {
				fmt.Fprintln(o.out, "the order is", line(read.Status(), 40))
			}
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	if o.asJSON {
		if err := printJSONLine(o.out, map[string]story.Story{"story": last}); err != nil {
			return err
		}
	}
	return unanswered(missingFrom(last))
}

// finished reports whether the order's story is complete.
func finished(s story.Story) bool {
	for _, e := range s.Events {
		if !e.Published {
			return false
		}
	}
	return s.Ended
}

// printNews prints the events that were not shown yet. Without --json, the first call only marks
// them as shown.
func (o *operator) printNews(s story.Story, shown map[string]bool, first bool) error {
	for _, e := range s.Events {
		key := fmt.Sprint(e.Topic, e.ID, e.Published)
		if e.ID == "" && len(e.Copies) > 0 {
			key = fmt.Sprint(e.Topic, e.Copies[0].Partition, e.Copies[0].Offset)
		}
		if shown[key] {
			continue
		}
		shown[key] = true
		switch {
		case o.asJSON:
			if err := printJSONLine(o.out, map[string]story.Event{"event": e}); err != nil {
				return err
			}
		case !first:
			if _, err := io.WriteString(o.out, newsOf(e, s.Events, term.Width(o.out))); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitKey changes when the reasons of the waiting change, and not with time.
func waitKey(s story.Story) string {
	var b strings.Builder
	for _, w := range s.WaitsFor {
		fmt.Fprint(&b, w.Service, w.To, w.Event)
		for _, h := range w.Because {
			fmt.Fprint(&b, h.Kind, h.Group, h.Type, h.ID, h.Attempts)
		}
	}
	for _, h := range s.HeldBy {
		fmt.Fprint(&b, h.Kind, h.Group, h.Type, h.ID, h.Attempts)
	}
	return b.String()
}
