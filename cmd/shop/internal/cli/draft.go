package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"eventshop.example/cmd/shop/internal/term"
	"eventshop.example/ops/jsonhttp"
	"eventshop.example/ops/story"
)

// draftWithin bounds one request about a draft.
const draftWithin = 10 * time.Second

func draftCommand(e *env) *cobra.Command {
	o := &operator{env: e}
	cmd := &cobra.Command{
		Use:   "draft",
		Short: "Orders that are not placed yet: create, change, place, list",
		Long: `A draft is an order that is not placed yet. Nothing is charged, reserved or published before
it is placed.

A command that changes a draft names the version that it changes (If-Match of the API), so
that nothing of another writer is overwritten. Without --version it asks for the present
version first.`,
		Example: `  shop draft create --customer cust-7 --name 'Ada Lovelace' --email ada@example.com --currency GBP
  shop draft add ID WIDGET-01 2 29.99
  shop draft address ID --street '123 Babbage Lane' --city London --postal-code 'SW1A 1AA'
  shop draft place ID`,
		Args: cobra.NoArgs,
		RunE: help,
	}
	cmd.AddCommand(draftCreateCommand(o), draftAddCommand(o), draftRemoveCommand(o), draftAddressCommand(o),
		draftPlaceCommand(o), draftDiscardCommand(o), draftListCommand(o))
	return cmd
}

// draft is what the order service answers about a draft.
type draft struct {
	OrderID     string       `json:"orderId"`
	Status      string       `json:"status"`
	Version     int64        `json:"version"`
	Items       []story.Line `json:"items"`
	TotalAmount json.Number  `json:"totalAmount"`
	Currency    string       `json:"currency"`
}

// orders returns a client of the order service.
func (o *operator) orders() (jsonhttp.Client, error) {
	s, err := o.known()
	if err != nil {
		return jsonhttp.Client{}, err
	}
	return jsonhttp.New(s.File().URL["order"], nil), nil
}

// ask sends a request to the order service and prints the draft that it answers.
func (o *operator) ask(ctx context.Context, method, path string, body any, headers ...string) error {
	client, err := o.orders()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, draftWithin)
	defer cancel()
	var document json.RawMessage
	if err := client.Call(ctx, method, path, nil, body, &document, headers...); err != nil {
		return err
	}
	if o.asJSON {
		return printJSON(o.out, document)
	}
	var d draft
	if err := json.Unmarshal(document, &d); err != nil {
		return fmt.Errorf("read the order service's answer: %w", err)
	}
	fmt.Fprintf(o.out, "order %s  %s  version %d\n", harmless(d.OrderID, 40), term.State(o.out, harmless(d.Status, 40)), d.Version)
	for _, item := range d.Items {
		fmt.Fprintf(o.out, "  %d × %s at %s\n", item.Quantity, harmless(item.SKU, 64), harmless(item.UnitPrice.String(), 40))
	}
	fmt.Fprintf(o.out, "total %s %s\n", harmless(d.TotalAmount.String(), 40), harmless(d.Currency, 10))
	return nil
}

// change sends a command about the draft at a version; 0 is the present one.
func (o *operator) change(ctx context.Context, version int64, method, id, path string, body any) error {
	order := "/orders/" + url.PathEscape(id)
	if version == 0 {
		client, err := o.orders()
		if err != nil {
			return err
		}
		asking, cancel := context.WithTimeout(ctx, draftWithin)
		defer cancel()
		var d draft
		if err := client.Call(asking, http.MethodGet, order, nil, nil, &d); err != nil {
			return err
		}
		version = d.Version
	}
	return o.ask(ctx, method, order+path, body, "If-Match", strconv.Quote(strconv.FormatInt(version, 10)))
}

// changing returns a command that changes a draft, with its flags.
func (o *operator) changing(use, short string, args int, change func(cmd *cobra.Command, args []string, version int64) error) *cobra.Command {
	version := int64(0)
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(args), RunE: func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("version") && version < 1 {
			return fmt.Errorf("--version: versions begin at 1, not %d", version)
		}
		return change(cmd, args, version)
	}}
	cmd.Flags().Int64Var(&version, "version", 0, "the version that is changed; refused when the draft is at another one")
	o.addJSON(cmd)
	return cmd
}

func draftCreateCommand(o *operator) *cobra.Command {
	var customer struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	currency := ""
	cmd := &cobra.Command{
		Use: "create", Short: "Starts a draft and prints its id", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := uuid.NewV7()
			if err != nil {
				return fmt.Errorf("make an idempotency key: %w", err)
			}
			return o.ask(cmd.Context(), http.MethodPost, "/orders",
				map[string]any{"draft": true, "customer": customer, "currency": currency}, "Idempotency-Key", key.String())
		},
	}
	cmd.Flags().StringVar(&customer.ID, "customer", "", "the customer's id")
	cmd.Flags().StringVar(&customer.Name, "name", "", "the customer's name")
	cmd.Flags().StringVar(&customer.Email, "email", "", "the customer's address for mail")
	cmd.Flags().StringVar(&currency, "currency", "GBP", "ISO 4217 code of all amounts of the order")
	for _, flag := range []string{"customer", "name", "email"} {
		_ = cmd.MarkFlagRequired(flag) // the flag exists
	}
	o.addJSON(cmd)
	return cmd
}

func draftAddCommand(o *operator) *cobra.Command {
	return o.changing("add ID SKU QUANTITY UNIT_PRICE", "Adds an item, such as WIDGET-01 2 29.99", 4,
		func(cmd *cobra.Command, args []string, version int64) error {
			quantity, err := strconv.ParseInt(args[2], 10, 32)
			if err != nil {
				return fmt.Errorf("the quantity %q is no number", args[2])
			}
			price := json.Number(args[3])
			if _, err := price.Float64(); err != nil || !json.Valid([]byte(price)) { // the service reads it exactly
				return fmt.Errorf("the price %q is no number, such as 29.99", args[3])
			}
			return o.change(cmd.Context(), version, http.MethodPost, args[0], "/items",
				map[string]any{"sku": args[1], "quantity": quantity, "unitPrice": price})
		})
}

func draftRemoveCommand(o *operator) *cobra.Command {
	return o.changing("remove ID SKU", "Removes an item", 2, func(cmd *cobra.Command, args []string, version int64) error {
		return o.change(cmd.Context(), version, http.MethodDelete, args[0], "/items/"+url.PathEscape(args[1]), nil)
	})
}

func draftAddressCommand(o *operator) *cobra.Command {
	var to struct {
		Street     string `json:"street"`
		City       string `json:"city"`
		PostalCode string `json:"postalCode"`
		Country    string `json:"country,omitempty"`
	}
	cmd := o.changing("address ID", "Sets the address that the order goes to", 1, func(cmd *cobra.Command, args []string, version int64) error {
		return o.change(cmd.Context(), version, http.MethodPut, args[0], "/address", to)
	})
	cmd.Flags().StringVar(&to.Street, "street", "", "street and number")
	cmd.Flags().StringVar(&to.City, "city", "", "city")
	cmd.Flags().StringVar(&to.PostalCode, "postal-code", "", "postal code")
	cmd.Flags().StringVar(&to.Country, "country", "", "ISO 3166-1 alpha-2 code, such as GB")
	for _, flag := range []string{"street", "city", "postal-code"} {
		_ = cmd.MarkFlagRequired(flag) // the flag exists
	}
	return cmd
}

func draftPlaceCommand(o *operator) *cobra.Command {
	return o.changing("place ID", "Places the draft: its saga begins", 1, func(cmd *cobra.Command, args []string, version int64) error {
		return o.change(cmd.Context(), version, http.MethodPost, args[0], "/place", nil)
	})
}

func draftDiscardCommand(o *operator) *cobra.Command {
	return o.changing("discard ID", "Gives a draft up", 1, func(cmd *cobra.Command, args []string, version int64) error {
		return o.change(cmd.Context(), version, http.MethodDelete, args[0], "", nil)
	})
}

func draftListCommand(o *operator) *cobra.Command {
	customer, limit := "", 50
	cmd := &cobra.Command{
		Use: "list", Short: "Drafts, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := o.orders()
			if err != nil {
				return err
			}
			query := url.Values{"draft": {"true"}, "limit": {strconv.Itoa(limit)}}
			if customer != "" {
				query.Set("customerId", customer)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), draftWithin)
			defer cancel()
			type entry struct {
				OrderID     string      `json:"orderId"`
				Version     int64       `json:"version"`
				CustomerID  string      `json:"customerId"`
				Items       int         `json:"items"`
				TotalAmount json.Number `json:"totalAmount"`
				Currency    string      `json:"currency"`
				UpdatedAt   time.Time   `json:"updatedAt"`
			}
			var page struct {
				Drafts []entry `json:"drafts"`
			}
			if err := client.Call(ctx, http.MethodGet, "/orders", query, nil, &page); err != nil {
				return err
			}
			if o.asJSON {
				return printJSON(o.out, page)
			}
			var rows [][]string
			for _, d := range page.Drafts {
				rows = append(rows, []string{
					harmless(d.OrderID, 40), strconv.FormatInt(d.Version, 10), harmless(d.CustomerID, 64), strconv.Itoa(d.Items),
					harmless(d.TotalAmount.String(), 40) + " " + harmless(d.Currency, 10), d.UpdatedAt.Local().Format(time.DateTime),
				})
			}
			if len(rows) == 0 {
				fmt.Fprintln(o.out, "no drafts")
				return nil
			}
			return table(o.out, "ORDER VERSION CUSTOMER ITEMS TOTAL CHANGED", rows)
		},
	}
	cmd.Flags().StringVar(&customer, "customer", "", "only those of a customer")
	cmd.Flags().IntVar(&limit, "limit", 50, "most drafts, 500 at most")
	o.addJSON(cmd)
	return cmd
}
