package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/services/notification/internal/db"
)

// Mail returns the mail about an order. The error has kind errs.NotFound when there is none.
func (a *App) Mail(ctx context.Context, orderID string) (db.Mail, error) {
	row, err := db.New(a.reads).GetMail(ctx, orderID)
	if errors.Is(err, pgx.ErrNoRows) {
		return db.Mail{}, errs.New(errs.NotFound, "no mail about order %s", orderID)
	}
	if err != nil {
		return db.Mail{}, fmt.Errorf("load mail: %w", err)
	}
	return row, nil
}
