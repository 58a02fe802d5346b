package admin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/worker"
)

// Maintainer is what the resolvers of maintenance need of a node.
type Maintainer interface {
	SubmitVerify(ctx context.Context, q worker.VerifyRequest) (taskID string, err error)
	SubmitPrune(ctx context.Context, q worker.PruneRequest) (taskID string, err error)
}

func (m mutation) VerifyBackup(ctx context.Context, input VerifyBackupInput) (*VerifyBackupPayload, error) {
	id, err := m.Node.SubmitVerify(ctx, worker.VerifyRequest{
		Location: input.Location, BackupID: value(input.BackupID), BackupNum: value(input.BackupNum),
		Level:       restore.Level(strings.ToLower(string(value(input.Level)))),
		Credentials: credentials(input.AccessKey, input.SecretKey, input.SessionToken, input.Anonymous),
		Keys: worker.KeyRequest{
			EncryptionKeyFile: value(input.EncryptionKeyFile), VaultAddr: value(input.VaultAddr),
			VaultRoleIDFile: value(input.VaultRoleIDFile), VaultSecretIDFile: value(input.VaultSecretIDFile),
			VaultPath: value(input.VaultPath), VaultField: value(input.VaultField), VaultFormat: value(input.VaultFormat),
		},
	})
	if err != nil {
		return nil, err
	}
	return &VerifyBackupPayload{Response: success("Verification queued with ID " + id), TaskID: &id}, nil
}

func (m mutation) PruneBackups(ctx context.Context, input PruneBackupsInput) (*PruneBackupsPayload, error) {
	keep, err := retention(&RetentionInput{KeepLast: input.KeepLast, KeepDaily: input.KeepDaily,
		KeepWeekly: input.KeepWeekly, KeepMonthly: input.KeepMonthly, OlderThan: input.OlderThan})
	if err != nil {
		return nil, err
	}
	keep.Timezone = value(input.Timezone)
	id, err := m.Node.SubmitPrune(ctx, worker.PruneRequest{
		Location: input.Location, Keep: keep, Remove: input.DryRun != nil && !*input.DryRun,
		Credentials: credentials(input.AccessKey, input.SecretKey, input.SessionToken, input.Anonymous),
	})
	if err != nil {
		return nil, err
	}
	return &PruneBackupsPayload{Response: success("Prune queued with ID " + id), TaskID: &id}, nil
}

// retention reads the rules of a retention; their values are checked later.
func retention(input *RetentionInput) (worker.Retention, error) {
	if input == nil {
		return worker.Retention{}, nil
	}
	age, err := parseAge("olderThan", value(input.OlderThan))
	return worker.Retention{
		KeepLast: value(input.KeepLast), KeepDaily: value(input.KeepDaily),
		KeepWeekly: value(input.KeepWeekly), KeepMonthly: value(input.KeepMonthly), OlderThan: age,
	}, err
}

// parseAge reads 30d or 12h; "" is 0.
func parseAge(field, text string) (time.Duration, error) {
	const day, mostDays = 24 * time.Hour, 36_500
	if text == "" {
		return 0, nil
	}
	age, err := time.ParseDuration(text)
	if number, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		if n, err = strconv.ParseUint(number, 10, 32); n > mostDays {
			err = strconv.ErrRange
		}
		age = time.Duration(n) * day
	}
	if err != nil || age <= 0 {
		return 0, fault.New(fault.Usage, "use field "+field, "%.80q is no time such as 30d or 12h", text)
	}
	return age, nil
}
