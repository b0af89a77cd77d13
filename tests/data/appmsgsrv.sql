-- What appmsgsrv's install.sql makes in MySQL: written anew from the description of its tables, dump of 2014-12-11.
CREATE TABLE `api_call` (
  `id` varchar(64) NOT NULL DEFAULT '', `customer_id` varchar(64), `tenant_id` varchar(64), `caller_id` varchar(64),
  `type` varchar(64), `api_name` varchar(255), `count` int(11), `sharding` int(11),
  `created` datetime, `updated` datetime
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `apns_token` (
  `id` varchar(64) NOT NULL, `user_id` varchar(64), `device_id` varchar(64), `apns_token` varchar(64),
  `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `application` (
  `id` varchar(64) NOT NULL, `name` varchar(45), `token` varchar(45), `type` varchar(45), `status` int(11),
  `sort` int(11), `level` int(11), `avatar` varchar(255), `tenant_id` varchar(64), `created` datetime,
  `updated` datetime, `name_py` varchar(45), `name_quanpin` varchar(45), PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `client` (
  `id` varchar(64) NOT NULL, `user_id` varchar(64), `type` varchar(45), `device_id` varchar(255),
  `latest_login_time` datetime, `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `client_version` (
  `id` varchar(64) NOT NULL, `type` varchar(45), `ver_code` int(11), `ver_name` varchar(45), `ver_description` text,
  `download_url` varchar(255), `file_name` varchar(45), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `customer` (
  `id` varchar(64) NOT NULL, `name` varchar(255), `status` int(11), `created` datetime, `updated` datetime,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `file_link` (
  `id` varchar(64) NOT NULL, `sender_id` varchar(64), `file_id` varchar(64), `file_name` varchar(255),
  `file_url` varchar(255), `size` int(11), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `group_msg` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, `gid` int(11) unsigned NOT NULL, `mid` bigint(20) unsigned NOT NULL,
  `ttl` bigint(20) NOT NULL, `msg` blob NOT NULL,
  `ctime` timestamp NOT NULL DEFAULT '1999-12-31 22:00:00', `mtime` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`), UNIQUE KEY `ux_group_msg_1` (`gid`,`mid`), KEY `ix_group_msg_1` (`ttl`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `operation` (
  `id` varchar(64) NOT NULL, `app_id` varchar(64), `content` varchar(45), `action` varchar(255),
  `operation_type` char(1), `sort` int(11), `parent_id` varchar(64), PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `org` (
  `id` varchar(64) NOT NULL, `name` varchar(120) NOT NULL, `short_name` varchar(60) NOT NULL,
  `parent_id` varchar(64) NOT NULL, `location` varchar(256) NOT NULL, `tenant_id` varchar(64) NOT NULL,
  `sort` int(11) NOT NULL DEFAULT '0', PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `org_user` (
  `id` varchar(64) NOT NULL, `org_id` varchar(64) NOT NULL, `user_id` varchar(64) NOT NULL,
  `sort` int(11) NOT NULL DEFAULT '0', PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `private_msg` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, `skey` varchar(64) NOT NULL, `mid` bigint(20) unsigned NOT NULL,
  `ttl` bigint(20) NOT NULL, `msg` blob NOT NULL,
  `ctime` timestamp NOT NULL DEFAULT '1999-12-31 22:00:00', `mtime` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`), UNIQUE KEY `ux_private_msg_1` (`skey`,`mid`), KEY `ix_private_msg_1` (`ttl`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `public_msg` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT, `mid` bigint(20) unsigned NOT NULL, `ttl` bigint(20) NOT NULL,
  `msg` blob NOT NULL,
  `ctime` timestamp NOT NULL DEFAULT '1999-12-31 22:00:00', `mtime` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`), KEY `ix_public_msg_1` (`ttl`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `public_msg_log` (
  `mid` bigint(20) unsigned NOT NULL, `stime` timestamp NOT NULL DEFAULT '1999-12-31 22:00:00',
  `ftime` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE KEY `ux_public_msg_log_1` (`mid`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `push_cnt` (
  `id` varchar(64) NOT NULL, `customer_id` varchar(64), `tenant_id` varchar(64), `caller_id` varchar(64),
  `type` varchar(64), `push_type` varchar(64), `count` int(11), `sharding` int(11), `created` datetime,
  `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `qun` (
  `id` varchar(64) NOT NULL, `creator_id` varchar(64) NOT NULL, `name` varchar(45) NOT NULL,
  `description` varchar(255) NOT NULL, `max_member` int(11) NOT NULL, `avatar` varchar(255) NOT NULL,
  `tenant_id` varchar(64), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `qun_user` (
  `id` varchar(64) NOT NULL, `qun_id` varchar(64) NOT NULL, `user_id` varchar(64) NOT NULL, `sort` int(11) NOT NULL,
  `role` int(11) NOT NULL COMMENT '0 owner, 1 admin, 2 member', `created` datetime, `updated` datetime,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `quota` (
  `id` varchar(64) NOT NULL, `customer_id` varchar(64), `tenant_id` varchar(64), `api_name` varchar(255),
  `type` varchar(45), `value` varchar(45), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `resource` (
  `id` varchar(64) NOT NULL, `customer_id` varchar(64), `name` varchar(45), `description` varchar(512),
  `type` varchar(45), `content` varchar(255), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `session` (
  `id` varchar(64) NOT NULL, `type` varchar(45), `user_id` varchar(64), `state` varchar(45), `created` datetime,
  `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `tenant` (
  `id` varchar(64) NOT NULL, `code` varchar(64) NOT NULL, `name` varchar(128) NOT NULL, `status` int(11) NOT NULL,
  `customer_id` varchar(64), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `user` (
  `id` varchar(64) NOT NULL, `name` varchar(45) NOT NULL, `nickname` varchar(45) NOT NULL, `avatar` varchar(45) NOT NULL,
  `name_py` varchar(45) NOT NULL, `name_quanpin` varchar(255) NOT NULL, `status` int(11) NOT NULL,
  `rand` int(11) NOT NULL, `password` varchar(32) NOT NULL, `tenant_id` varchar(64) NOT NULL, `level` int(11) NOT NULL,
  `email` varchar(64) NOT NULL, `mobile` varchar(11) NOT NULL, `area` varchar(128) NOT NULL,
  `created` datetime NOT NULL, `updated` datetime NOT NULL, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
CREATE TABLE `user_user` (
  `id` varchar(64) NOT NULL, `from_user_id` varchar(64), `to_user_id` varchar(64), `remark_name` varchar(45),
  `sort` int(11), `created` datetime, `updated` datetime, PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8;
