package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
)

func awaitCommand(e *env) *cobra.Command {
	var within time.Duration
	cmd := &cobra.Command{
		Use:   "await URL…",
		Short: "Waits until every URL answers a GET with a status below 400",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, urls []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), within)
			defer cancel()
			p := term.Start(e.errOut, "waiting", within)
			defer p.Stop()
			for _, url := range urls {
				p.Note("waiting for %s", url)
				if err := await(ctx, url); err != nil {
					return fmt.Errorf("%s is not there within %s: %w", url, within, err)
				}
				fmt.Fprintln(e.out, url, "answers")
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&within, "within", time.Minute, "for all of them together")
	return cmd
}

// await returns the last attempt's error if ctx ends first.
func await(ctx context.Context, url string) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		err := answers(ctx, url)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func answers(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("it says %s", res.Status)
	}
	return nil
}
