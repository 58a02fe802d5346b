package admin

import (
	"context"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/login"
)

// Users are those who may log in.
type Users interface {
	Login(ctx context.Context, name, password string) (login.Tokens, error)
	Refresh(ctx context.Context, token string) (login.Tokens, error)
}

func (m mutation) Login(ctx context.Context, userID, password, refreshToken *string) (*LoginPayload, error) {
	const op = "log in"
	if m.Users == nil {
		return nil, fault.New(fault.Usage, op, "this alpha has no users").WithHint("leave the login out, or start the alpha with --users_file")
	}
	var tokens login.Tokens
	var err error
	switch byPassword := userID != nil && password != nil; {
	case value(refreshToken) != "" && userID == nil && password == nil:
		tokens, err = m.Users.Refresh(ctx, *refreshToken)
	case byPassword && value(refreshToken) == "":
		tokens, err = m.Users.Login(ctx, *userID, *password)
	default:
		err = fault.New(fault.Usage, op, "it takes userId and password, or refreshToken alone")
	}
	if err != nil {
		return nil, err
	}
	return &LoginPayload{Response: &LoginResponse{AccessJwt: &tokens.Access, RefreshJwt: &tokens.Refresh}}, nil
}
