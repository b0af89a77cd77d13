-- What years of use leave in it: rows without tenant, rows that say the same twice, rows that point nowhere.
INSERT INTO customer VALUES ('c1', 'Acme', NULL, '2015-01-01', NULL);
INSERT INTO tenant VALUES ('t1', 'acme', 'Acme 中国', 0, 'c1', NULL, NULL), ('t2', 'lone', 'Lone', 0, NULL, NULL, NULL);
INSERT INTO user (id, name, nickname, password, tenant_id, email, created) VALUES
  ('u1', 'ann', '安妮', '5f4dcc3b5aa765d61d8327deb882cf99', 't1', 'ann@example.com', '2015-01-01'),
  ('u2', 'bob', 'Bob', 'secret', 't1', '', '0000-00-00'), ('u3', 'ann', 'Ann too', '', 'nobody', '', '2015-01-03'),
  ('u_4', 'dan', 'Dan', 'secret', 't2', '', '2015-01-04'), ('u@5', 'eve', 'Eve', 'secret', 't2', '', '2015-01-05');
INSERT INTO application (id, name, token, status, tenant_id, created) VALUES
  ('a1', 'News', 'T1', 0, 't1', '2015-01-01'), ('a2', 'Twin', 'T1', 0, 't1', '2015-01-02'),
  ('a3', 'Case', 't1', 0, 't1', '2015-01-02'), ('a4', NULL, NULL, NULL, NULL, NULL), ('a5', 'Open', '', 0, 't2', NULL);
INSERT INTO org VALUES
  ('o1', 'Head', '', '', '00', 't1', 0), ('o2', 'North', '', 'o1', '0000', 't1', 0), ('o3', 'Moved', '', 'o2', '0001', 't1', 0),
  ('o4', 'Below', '', 'o3', '000100', 't1', 0), ('o5', 'None', '', '', '', 't1', 0), ('o6', 'Orphan', '', 'gone', '00', 't1', 0),
  ('x1', 'Other', '', '', '00', 't2', 0);
INSERT INTO org_user VALUES
  ('1', 'o1', 'u1', 5), ('2', 'o1', 'u1', 1), ('3', 'o1', 'U1', 2), ('4', 'o2', 'gone', 0), ('5', 'gone', 'u2', 0);
INSERT INTO qun VALUES
  ('g1', 'u1', 'Lunch', '', 0, '', 't1', '2015-02-01', NULL), ('g2', 'left', 'Old', '', 100, '', NULL, NULL, NULL);
INSERT INTO qun_user VALUES
  ('1', 'g1', 'u1', 0, 0, '2015-02-01', NULL), ('2', 'g1', 'u2', 0, 0, '2015-02-02', NULL), ('3', 'g1', 'u2', 0, 0, NULL, NULL),
  ('4', 'g1', 'u2', 0, 0, '2015-02-01', NULL), ('5', 'g1', 'u3', 0, 1, NULL, NULL), ('6', 'g2', 'u2', 0, 0, NULL, NULL),
  ('7', 'g2', 'gone', 0, 0, NULL, NULL);
INSERT INTO quota VALUES
  ('1', 'c1', '*', NULL, 'push_cnt', '100', NULL, '2015-01-01'), ('2', 'c1', '*', '', 'push_cnt', '200', NULL, '2015-01-02'),
  ('3', 'c1', 't1', '/app/client/device/login', 'api_cnt', '-1', NULL, NULL);
INSERT INTO api_call VALUES
  ('', 'c1', 't1', 'u1', 'ios', '/login', 3, 0, NULL, NULL), ('', 'c1', 't1', 'u1', 'ios', '/login', 4, 0, NULL, NULL),
  ('x', 'c1', 't1', 'u1', NULL, '/login', NULL, 0, NULL, NULL), ('y', 'c1', 't1', 'a1', 'app', '/push', 5, 7, NULL, NULL);
INSERT INTO push_cnt VALUES
  ('1', 'c1', 't1', 'u1', 'ios', '@user', 2, 1, NULL, NULL), ('2', 'c1', 't1', 'u1', 'ios', '@user', 3, 1, NULL, NULL),
  ('3', 'c1', 't1', 'u1', 'ios', NULL, 1, 1, NULL, NULL);
INSERT INTO apns_token VALUES
  ('1', 'u1', 'd1', 'aa11', NULL, '2015-01-01'), ('2', 'u2', 'd1', 'aa11', NULL, '2015-01-02'), ('3', 'u2', 'd2', NULL, NULL, NULL),
  ('4', 'u2', 'd3', '', NULL, NULL);
INSERT INTO client VALUES
  ('1', 'u1', 'ios', 'd1', '2015-01-01', NULL, NULL), ('2', 'u1', 'ios', 'd1', '2015-03-01', NULL, NULL),
  ('3', 'u1', 'ios', 'd1', NULL, NULL, NULL);
INSERT INTO client_version VALUES ('1', 'android', 7, '1.7', NULL, NULL, NULL, NULL, NULL), ('2', 'android', 7, '1.7b', 'x', '', '', NULL, '2015-01-01');
INSERT INTO session VALUES ('u1_iOS-d1', 'iOS', 'u1', 'active', NULL, NULL), ('u2_iOS-d2', NULL, 'u2', NULL, NULL, NULL);
INSERT INTO user_user VALUES ('1', 'u1', 'u2', 'B', 0, NULL, NULL), ('2', 'u1', 'u2', 'Bobby', 0, NULL, '2015-01-01'), ('3', 'u1', 'U2', NULL, NULL, NULL, NULL);
INSERT INTO file_link VALUES ('1', 'u1', 'f1', 'a.png', 'http://files/1', NULL, NULL, NULL), ('2', 'u1', 'f1', 'a.png', 'http://files/1', 9, NULL, '2015-01-01');
INSERT INTO operation VALUES ('1', 'a1', 'Menu', NULL, NULL, NULL, NULL);
INSERT INTO resource VALUES ('1', 'c1', NULL, NULL, '0', '/cert.pem', NULL, NULL);
INSERT INTO group_msg VALUES (1, 1, 1, 0, 'x', '2015-01-01', '2015-01-01');
INSERT INTO public_msg_log VALUES (18, '2015-01-01', '2015-01-01');
