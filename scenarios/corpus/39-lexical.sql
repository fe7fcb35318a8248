create table lexical.t(id int primary key, "Mixed Case" text, "select" int, "quo""te" int, "ü" int);
insert into lexical.t values (1, 'semi;colon', 1, 1, 1);
insert into lexical.t values (2, 'it''s', 2, 2, 2);
insert into lexical.t("id", "Mixed Case") values (3, E'back\\slash \'quote\' \x41 \u00e9 \U0001F600 \101');
insert into lexical.t(id, "Mixed Case") values (4, $$dollar 'quoted' "text"$$), (5, $tag$ with $$ inside $tag$), (6, $ü$unicode tag$ü$);
insert into lexical.t(id, "Mixed Case") values (7, U&'d\0061t\+000061'), (8, U&'d!0061' uescape '!');
insert into lexical.t(id, U&"Mixed\0020Case") values (9, 'unicode ident');
insert into lexical.t(id, "Mixed Case") values (10, 'split '
'over lines');
insert into lexical.t(id, "Mixed Case") values (11, 'not split' 'same line');
update lexical.t set "quo""te" = 5, "select" = -1 where "ü" = 1;
select "Mixed Case", "select", "quo""te" from lexical.t order by id;
select /* comment */ 1 -- line
;
select /* nested /* comment */ still */ 2;
/* in front */ select 3;
-- a comment line in front belongs to the reader of this file
select 4 /* ; */, ';', "select" /* ' */ from lexical.t where id = 1;
SELECT 5;SELECT 6;
SeLeCt 7 As SeVeN;
select
	8
	as
	eight
;
   select 9;
select 10   ;
select(11);
select'12';
select-13;
select+14, - -15, 1--1
;
select 1e5, 1.e1, .5, 5., 1E-3, 0.0, 00012, 1.0e+2;
select 0x1F;
select 1_000;
select 123abc;
select b'101', x'1F', B'', X'ab'::bit(4), n'national';
select 1 <> 2, 1 != 2, 2 ^ 3, 5 ! = 6;
select 5 !, !! 5;
select @-5, |/25, ||/27, ~5, 5#3, 5&3, 5|3, 1<<4, 16>>2;
select 1::int::text::varchar, cast(1 as text), int4 '7', text 'x', interval '1' year, date'2020-01-01';
select 'a' 'b';
select E'a' 'b';
select array[1,2][1], (array[1,2])[2], ('{1,2}'::int[])[1];
select "a"."b" from (select 1 as "b") as "a";
select a.* from (select 1 x, 2 y) a;
select $$a$$ || $b$c$b$, $_$x$_$;
select 'é' = E'\u0065\u0301', length('é'), 'ﬀ';
select U&'\0441\043B\043E\043D', U&"x" from (select 1 as x) q;
select '\', E'\\', '\n', e'\n';
select E'\q', E'\8', E'\x', E'a\
b';
select E'\u12';
select U&'\12';
select 'tab	inside', 'cr
lf';
select true, TRUE, True, 'true'::bool, null, NULL;
select current_user, CURRENT_USER, user, current_date is not null, localtime is not null;
select position('b' in 'abc'), substring('abc' from 2), substring('abc' from 'b.'), trim(leading 'a' from 'abc'), extract(year from date '2020-01-01'), overlay('abc' placing 'x' from 1), 'x' similar to 'x' escape '\';
select case 1 when 1 then 'a' end, case when true then 'b' else 'c' end;
select not true = false, 1 + 2 * 3 ^ 2, -2 ^ 2, 2 + 3 || 'x', 1 = 1 is true, 5 between 1 and 10 and true;
select operator(pg_catalog.+) 5, 3 operator(pg_catalog.*) 4;
select (1, 2), row(1), ((1)), (((select 1)));
select "pg_catalog"."upper"('x'), pg_catalog . lower ('X');
select * from lexical . t where lexical . t . id = 1;
select "lexical"."t"."id" from "lexical"."t" limit 1;
select 1 as "", 2;
select 1 as "a very long identifier that is longer than sixty-three bytes and will be cut";
select 1 as select;
select 1 select2, 2 "from";
select 1 offset;
create table "Order"("user" int primary key, "table" text, "a.b" int, "a b" int);
insert into "Order" values (1, 'x', 2, 3);
update "Order" set "table" = 'y' where "user" = 1 returning "a.b", "a b";
delete from "Order" where "user" = 1;
insert into "order" values (1);
create table "a;b"(i int primary key, "c;d" text default ';');
insert into "a;b"(i) values (1) returning "c;d";
update "a;b" set "c;d" = ';;' where i = 1;
create table """"(i int primary key);
insert into """" values (1);
insert into lexical.t(id) values (20);; insert into lexical.t(id) values (21);
;;
--! block

--! end
--! block
   
	
--! end
--! block
-- only a comment
--! end
--! block
/* only a comment */
--! end
--! block
select 'ends without semicolon'
--! end
--! block
select 'a;
b';
--! end
--! block
select 1; -- behind; a comment
select 2 /* ; */;
--! end
--! block
insert into lexical.t(id, "Mixed Case") values (30, ';
;'); -- and
update lexical.t set "select" = 30 where id = 30;
--! end
--! block
/* a */ insert /* b */ into /* c */ lexical.t /* d */ (id) /* e */ values /* f */ (31) /* g */ returning /* h */ id /* i */ -- j
--! end
--! block
create function atomic_body(i int) returns int language sql begin atomic select 1; select case when i > 1 then 2 else 3 end; end; select atomic_body(5);
--! end
--! block
select 1
--! end
--! block
select 'unterminated
--! end
--! block
select /* unterminated
--! end
--! block
select $$ unterminated
--! end
--! block
select "unterminated
--! end
--! block
select E'\'
--! end
--! block
select 1 \
--! end
select id, "Mixed Case" from lexical.t where id >= 20 order by id;
--! bind x
select $1::text/* $2 */ -- $3
;
--! bind 5|6
select $2::int,$1::int,'$1',"$1" from (select 1 as "$1") q;
--! bind 77
insert into lexical.t(id,"Mixed Case") values ($1,'$1');
